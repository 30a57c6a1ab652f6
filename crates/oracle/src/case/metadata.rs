//! The metadata of a case: which method does what, with which parameters, under which name.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::id::check_id;
use super::json::UniqueKeys;
use super::limits::MOST_EXACT;
use super::method::Method;
use super::op::{Class, Op};
use super::params::{Params, Rule};
use crate::error::{Result, wrong};
use crate::tensors::TensorFile;

/// The version of the format.
pub const SCHEMA: &str = "lowrank-case/1";

/// Who made a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// The generator.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The seed of the inputs.
    pub seed: u64,
}

/// A case without its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// `method/op/name`: absent in a case that is only to be computed.
    pub id: Option<String>,
    /// The method.
    pub method: Method,
    /// What it does.
    pub op: Op,
    /// How it is judged, if it says so; draws by their law in any case.
    pub class: Option<Class>,
    /// Why this case is there.
    pub flags: Vec<String>,
    /// Who made it.
    pub source: Source,
    /// Paper and equation.
    pub paper: String,
    /// The canonical text, which the digest covers.
    pub text: String,
    /// What is wrong with them is an error later: a case that must be rejected is still a case.
    params: std::result::Result<Params, String>,
}

/// A case as its JSON has it. The parameters are read once the method and the op are known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseJson {
    #[serde(rename = "schema")]
    _schema: String,
    id: Option<String>,
    method: Method,
    op: Op,
    class: Option<Class>,
    #[serde(default = "no_params")]
    params: Value,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    source: Source,
    #[serde(default)]
    paper: String,
}

fn no_params() -> Value {
    Map::new().into()
}

impl Case {
    /// From the metadata of a file, whose one key is `case`.
    ///
    /// # Errors
    /// The metadata has other keys or none, or its text is no case: see [`parse`](Self::parse).
    pub fn of(file: &TensorFile) -> Result<Self> {
        let keys: Vec<_> = file.metadata.keys().map(String::as_str).collect();
        if keys != ["case"] {
            return Err(wrong(format!(
                "the metadata has the keys {keys:?} where exactly one, \"case\", is needed"
            )));
        }
        Self::parse(&file.metadata["case"])
    }

    /// From JSON, canonical or not.
    ///
    /// # Errors
    /// It is not JSON, has an unknown key or one twice, an unknown method or op, or an id that does not have the form
    /// `method/op/name`. What is wrong with the parameters is an error of [`params`](Self::params).
    pub fn parse(json: &str) -> Result<Self> {
        let fail = |error: serde_json::Error| wrong(format!("case: {error}"));
        let UniqueKeys(value) = serde_json::from_str(json).map_err(fail)?;
        let text = serde_json_canonicalizer::to_string(&value).map_err(fail)?;
        // Of another schema nothing else can be said to be wrong.
        if let Some(got) = value.get("schema").and_then(Value::as_str).filter(|it| *it != SCHEMA) {
            return Err(wrong(format!("case: schema is {got:?}: {SCHEMA:?} is read here")));
        }
        let case: CaseJson = serde_json::from_value(value).map_err(fail)?;
        // Draws are judged by their moments and their range: the expected numbers alone no draw has.
        let class = case.class.or((case.op == Op::Init).then_some(Class::Stat));
        let fits = |class: &Class| match class {
            Class::Reject => true,
            Class::Stat => case.op == Op::Init,
            _ => case.op != Op::Init,
        };
        if let Some(class) = class.filter(|class| !fits(class)) {
            let op = case.op;
            return Err(wrong(format!(
                "case: class {class} does not fit the op {op}: init has stat, no other op has it, and each may have reject"
            )));
        }
        if case.source.seed > MOST_EXACT {
            let seed = case.source.seed;
            return Err(wrong(format!("case: source.seed is {seed}: at most 2⁵³")));
        }
        if let Some(id) = &case.id {
            check_id(id, case.method, case.op)?;
        }
        let params = Params::parse(case.method, case.op, case.params);
        Ok(Self {
            id: case.id,
            method: case.method,
            op: case.op,
            class,
            params: params.map_err(|error| error.to_string()),
            flags: case.flags,
            source: case.source,
            paper: case.paper,
            text,
        })
    }

    /// The parameters, defaults filled in.
    ///
    /// # Errors
    /// One is unknown to this method and op, missing, or out of its range.
    pub fn params(&self) -> Result<&Params> {
        self.params.as_ref().map_err(wrong)
    }

    /// Which update it makes; `None` if it makes none, or its parameters are wrong.
    pub(crate) fn rule(&self) -> Option<Rule> {
        let updates = matches!(self.op, Op::Step | Op::Trajectory);
        Some(self.params().ok().filter(|_| updates)?.optimizer.rule())
    }

    /// Is this flag set?
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }
}
