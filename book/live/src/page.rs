//! The door to JavaScript: an experiment by its name, questions and answers as JSON.

use wasm_bindgen::prelude::{JsError, wasm_bindgen};

use crate::{Dialogue, start};

/// A started experiment.
#[wasm_bindgen]
pub struct Started(Box<dyn Dialogue>);

#[wasm_bindgen]
impl Started {
    /// Starts the experiment `name`; `file` is what it reads.
    ///
    /// # Errors
    /// Those of [`start`].
    #[wasm_bindgen(constructor)]
    pub fn new(name: &str, settings: &str, file: &[u8]) -> Result<Self, JsError> {
        start(name, settings, file).map(Self).map_err(|error| JsError::new(&format!("{error:#}")))
    }

    /// Asks it.
    ///
    /// # Errors
    /// Those of [`Dialogue::ask_json`].
    pub fn ask(&mut self, question: &str) -> Result<String, JsError> {
        self.0.ask_json(question).map_err(|error| JsError::new(&format!("{error:#}")))
    }
}
