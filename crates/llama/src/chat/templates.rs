//! The chat templates of a model: mostly one, sometimes several by name.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Template;
use crate::checkpoint::{TEMPLATE, more_templates, read_text};
use crate::{Error, Result};

/// What is taken for a conversation that names no tools.
pub(crate) const DEFAULT: &str = "default";
/// And for one that does, in a model that has a template of this name.
pub(crate) const TOOL_USE: &str = "tool_use";

/// Chat templates by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates(BTreeMap<String, Template>);

impl Templates {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `chat_template` of a `tokenizer_config.json`: a text, or a list of texts with their names.
    pub fn from_json(json: &Value) -> Self {
        let mut templates = Self::default();
        match json {
            Value::Array(list) => {
                for entry in list {
                    let name = entry["name"].as_str();
                    templates.extend(name.zip(entry["template"].as_str()));
                }
            }
            text => templates.extend(text.as_str().map(|text| (DEFAULT, text))),
        }
        templates
    }

    /// The files of a folder that hold templates; where there are any, those of `tokenizer_config.json` do not count.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let mut templates = Self::default();
        let mut read = |name: &str, path: &Path| -> Result<()> {
            templates.extend([(name, read_text(path)?.as_str())]);
            Ok(())
        };
        let default = folder.join(TEMPLATE);
        if default.is_file() {
            read(DEFAULT, &default)?;
        }
        for file in more_templates(folder)? {
            let name = file.strip_suffix(".jinja").and_then(|path| path.rsplit('/').next());
            read(name.unwrap_or_default(), &folder.join(&file))?;
        }
        Ok(templates)
    }

    /// Others with the same names give way.
    pub fn extend<'a>(&mut self, named: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let new = |(name, text): (&str, &str)| (name.to_owned(), Template::new(text.to_owned()));
        self.0.extend(named.into_iter().map(new));
    }

    /// The template for a conversation with these other variables, as transformers chooses it. `None` if there is none.
    ///
    /// # Errors
    /// There are several, and none that is taken unless another is named.
    pub fn of(&self, more: &Map<String, Value>) -> Result<Option<&Template>> {
        let with_tools = more.get("tools").is_some_and(|tools| !tools.is_null());
        let tool_use = self.0.get(TOOL_USE).filter(|_| with_tools);
        match tool_use.or(self.0.get(DEFAULT)) {
            None if !self.is_empty() => {
                let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
                Err(Error::Data(format!(
                    "the model has chat templates for {} and none called {DEFAULT}: write the one that is meant into \
                     chat_template.jinja in its folder",
                    names.join(", ")
                )))
            }
            template => Ok(template),
        }
    }

    /// See [`Template::set_date`].
    pub fn set_date(&mut self, date: &str) -> Result<()> {
        self.0.values_mut().try_for_each(|template| template.set_date(date))
    }

    /// What [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> Option<Value> {
        let named = |(name, template): (&String, &Template)| json!({"name": name, "template": template.source()});
        match self.0.get(DEFAULT) {
            Some(only) if self.0.len() == 1 => Some(json!(only.source())),
            _ if self.is_empty() => None,
            _ => Some(self.0.iter().map(named).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(templates: &Templates, more: Value) -> Result<Option<String>> {
        let more = more.as_object().unwrap();
        Ok(templates.of(more)?.map(|template| template.source().to_owned()))
    }

    /// `get_chat_template` of transformers.
    #[test]
    fn a_conversation_with_tools_has_a_template_of_its_own() {
        let tools = json!({"tools": []});
        let one = Templates::from_json(&json!("plain"));
        assert_eq!(chosen(&one, tools.clone()).unwrap().unwrap(), "plain");
        let list = json!([
            {"name": "default", "template": "plain"},
            {"name": "rag", "template": "rag"},
            {"name": "tool_use", "template": "tools"},
        ]);
        let several = Templates::from_json(&list);
        assert_eq!(chosen(&several, json!({})).unwrap().unwrap(), "plain");
        assert_eq!(chosen(&several, json!({"tools": null})).unwrap().unwrap(), "plain");
        assert_eq!(chosen(&several, tools.clone()).unwrap().unwrap(), "tools");
        assert_eq!(several.to_json().unwrap(), list);
        assert_eq!(one.to_json().unwrap(), json!("plain"));

        let unnamed = Templates::from_json(&json!([{"name": "tool_use", "template": "tools"}]));
        assert_eq!(chosen(&unnamed, tools).unwrap().unwrap(), "tools");
        let error = chosen(&unnamed, json!({})).unwrap_err().to_string();
        assert!(error.contains("tool_use") && error.contains("chat_template.jinja"), "{error}");
        assert_eq!(chosen(&Templates::default(), json!({})).unwrap(), None);
        assert_eq!(Templates::default().to_json(), None);
    }
}
