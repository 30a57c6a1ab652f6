//! Changes to a safetensors file that keep it one: the header's offsets follow from the tensors.
//!
//! Bytes flipped at random hardly get past the header: its length, its JSON, the JSON within it, and the offsets must fit.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

const METHODS: &[&str] = &["lora", "lora-fa", "vera", "delta-lora", "lora-plus", "dora"];
const OPS: &[&str] = &["forward", "backward", "step", "trajectory", "merge", "unmerge", "init"];
const CLASSES: &[&str] = &["exact", "bounded", "residual", "stat", "reject", "acceptable"];
const FLAGS: &[&str] = &["FTZ", "AnyNonFinite", "InfTimesDropped", "NaNTimesDropped"];
const DTYPES: &[(&str, usize)] = &[("F16", 2), ("BF16", 2), ("F32", 4), ("F64", 8), ("U8", 1)];
const PARAMETERS: &[&str] =
    &["lora_A", "lora_B", "lora_magnitude_vector", "vera_A", "vera_B", "vera_lambda_d", "vera_lambda_b", "weight", "bias"];
const SIZES: &[u64] =
    &[0, 1, 2, 3, 4, 5, 8, 17, 1 << 29, 1 << 32, 1 << 40, 1 << 62, 1 << 63, u64::MAX];
const NUMBERS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    3.0,
    65504.0,
    6e-8,
    1e-45,
    5e-324,
    1e-310,
    1e38,
    1e300,
    -1e308,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

struct Entry {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    data: Vec<u8>,
}

fn pick<'a, T>(rng: &mut SmallRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

fn width(dtype: &str) -> usize {
    DTYPES.iter().find(|(name, _)| *name == dtype).map_or(1, |(_, width)| *width)
}

/// Change the file in place; its new size. `None`: leave it to libFuzzer, now and then or because it is no such file.
pub fn file(bytes: &mut [u8], size: usize, most: usize, seed: u32) -> Option<usize> {
    let rng = &mut SmallRng::seed_from_u64(seed.into());
    if rng.random_ratio(1, 8) {
        return None;
    }
    let (mut metadata, mut tensors) = read(&bytes[..size])?;
    for _ in 0..rng.random_range(1..4) {
        if rng.random_ratio(1, 2) {
            text(rng, &mut metadata);
        } else {
            tensor(rng, &mut tensors);
        }
    }
    let made = write(&metadata, &tensors);
    if made.len() > most.min(bytes.len()) {
        return None;
    }
    bytes[..made.len()].copy_from_slice(&made);
    Some(made.len())
}

fn read(bytes: &[u8]) -> Option<(Map<String, Value>, Vec<Entry>)> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?) as usize;
    let header = bytes.get(8..length.checked_add(8)?)?;
    let mut header: Map<String, Value> = serde_json::from_slice(header).ok()?;
    let metadata = match header.shift_remove("__metadata__") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    let mut tensors = Vec::new();
    for (name, value) in header {
        let (dtype, _) = DTYPES.iter().find(|(dtype, _)| value["dtype"] == **dtype)?;
        let shape = value["shape"].as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
        let [from, to] = [0, 1].map(|end| value["data_offsets"][end].as_u64());
        let range =
            (8 + length).checked_add(from? as usize)?..(8 + length).checked_add(to? as usize)?;
        tensors.push(Entry { name, dtype, shape, data: bytes.get(range)?.to_vec() });
    }
    Some((metadata, tensors))
}

fn write(metadata: &Map<String, Value>, tensors: &[Entry]) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), metadata.clone().into());
    }
    let mut data = Vec::new();
    for Entry { name, dtype, shape, data: bytes } in tensors {
        let range = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": range}));
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).expect("strings and numbers");
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

fn number(rng: &mut SmallRng) -> Value {
    match rng.random_range(0..4) {
        0 => json!(pick(rng, SIZES)),
        // JSON has no NaN: it becomes null.
        1 => json!(pick(rng, NUMBERS)),
        2 => json!(rng.random_range(0..40) as f64 / 8.0),
        _ => json!(rng.random_range(0..6)),
    }
}

/// The metadata: nearly always the text of the case.
fn text(rng: &mut SmallRng, metadata: &mut Map<String, Value>) {
    if rng.random_ratio(1, 20) {
        let key = *pick(rng, &["error", "format", "case"]);
        match metadata.shift_remove(key) {
            None => drop(metadata.insert(key.into(), "a \"reason\"\n\u{1b}<>&".into())),
            Some(_) => {}
        }
        return;
    }
    let text = metadata.get("case").and_then(Value::as_str);
    let Some(Ok(Value::Object(mut case))) = text.map(serde_json::from_str) else { return };
    match rng.random_range(0..10) {
        0 => drop(case.insert("method".into(), (*pick(rng, METHODS)).into())),
        1 => drop(case.insert("op".into(), (*pick(rng, OPS)).into())),
        2 => drop(case.insert("class".into(), (*pick(rng, CLASSES)).into())),
        3 => drop(case.insert("flags".into(), json!([pick(rng, FLAGS)]))),
        4 => drop(case.shift_remove(*pick(rng, &["class", "flags", "id", "source", "paper"]))),
        _ => {
            let params = case.entry("params").or_insert(json!({}));
            if let Some(params) = params.as_object_mut() {
                parameter(rng, params);
            }
        }
    }
    let [method, op] = ["method", "op"].map(|key| case.get(key).and_then(Value::as_str));
    if let (Some(method), Some(op), true) = (method, op, case.contains_key("id")) {
        let id = format!("{method}/{op}/x");
        case.insert("id".into(), id.into());
    }
    metadata.insert("case".into(), Value::Object(case).to_string().into());
}

fn parameter(rng: &mut SmallRng, params: &mut Map<String, Value>) {
    let optimizer = ["name", "variant", "lr", "betas", "eps", "weight_decay", "lr_ratio"];
    let keys = [
        "alpha",
        "scaling",
        "fan_in_fan_out",
        "dropout_p",
        "variant",
        "lambda",
        "start_step",
        "include_scale",
        "steps",
        "start",
        "init",
        "rank",
        "in",
        "out",
        "samples",
    ];
    if rng.random_ratio(1, 3) {
        let inner = params.entry("optimizer").or_insert(json!({"name": "adamw"}));
        if let Some(inner) = inner.as_object_mut() {
            change(rng, inner, &optimizer);
        }
    } else {
        change(rng, params, &keys);
    }
}

fn change(rng: &mut SmallRng, object: &mut Map<String, Value>, keys: &[&str]) {
    // A key that is there, more often: another may be unknown to the op.
    let there = object.keys().cloned().collect::<Vec<_>>();
    let known = !there.is_empty() && rng.random_ratio(2, 3);
    let key = if known { pick(rng, &there).clone() } else { (*pick(rng, keys)).to_owned() };
    if rng.random_ratio(1, 6) {
        object.shift_remove(&key);
        return;
    }
    let value = match key.as_str() {
        "scaling" => json!(pick(rng, &["alpha_over_r", "rslora"])),
        "variant" => json!(pick(rng, &["plain", "projected", "torch", "hf"])),
        "name" => json!(pick(rng, &["sgd", "adamw"])),
        "fan_in_fan_out" | "include_scale" => json!(rng.random::<bool>()),
        "betas" => json!([number(rng), number(rng)]),
        "dropout_p" => json!(pick(rng, &[0.0, 0.5, 0.9, 1.0, 0.999])),
        "init" => json!(pick(
            rng,
            &[
                "gaussian",
                "kaiming_uniform_a5",
                "kaiming_uniform_b",
                "embedding",
                "kaiming_normal",
                "kaiming_uniform",
            ]
        )),
        _ => number(rng),
    };
    object.insert(key, value);
}

/// The axes of a tensor that a contract knows: i(n), o(ut), r, t(okens).
fn axes(name: &str) -> &'static str {
    let name = name.trim_start_matches("in.").trim_start_matches("out.");
    let name = name.trim_start_matches("exp_avg.").trim_start_matches("exp_avg_sq.");
    let is = |start: &str| name.trim_start_matches("grad_").starts_with(start);
    match () {
        () if is("lora_A") || is("vera_A") => "ri",
        () if is("lora_B") || is("vera_B") => "or",
        () if is("weight") => "oi",
        () if is("vera_lambda_d") => "r",
        () if is("vera_lambda_b") || is("bias") => "o",
        () if is("x") || is("dropout_mask") => "ti",
        () if is("y") => "to",
        () => "",
    }
}

/// Data of the length that the shape asks for; false if that is long.
fn fit(rng: &mut SmallRng, entry: &mut Entry) -> bool {
    let elements = entry.shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
    let bytes = elements.and_then(|elements| elements.checked_mul(width(entry.dtype) as u64));
    let Some(bytes) = bytes.filter(|bytes| *bytes <= 2048) else { return false };
    let old = entry.data.len();
    entry.data.resize(bytes as usize, 0);
    for at in old..entry.data.len() {
        entry.data[at] = if entry.dtype == "U8" { rng.random_range(0..2) } else { rng.random() };
    }
    true
}

fn put(rng: &mut SmallRng, entry: &mut Entry, number: f64) {
    let (width, count) = (width(entry.dtype), entry.data.len() / width(entry.dtype));
    if count == 0 {
        return;
    }
    let bits = number.to_bits();
    // F16 and BF16 by cutting off: the sign, special exponents and a few bits stay.
    let bytes = match width {
        8 => bits.to_le_bytes().to_vec(),
        4 => (number as f32).to_le_bytes().to_vec(),
        2 => ((number as f32).to_bits().to_be_bytes()[..2]).iter().rev().copied().collect(),
        _ => vec![number as u8 & 1],
    };
    let all = rng.random_ratio(1, 4);
    let chosen = rng.random_range(0..count);
    for at in 0..count {
        if all || at == chosen {
            entry.data[at * width..(at + 1) * width].copy_from_slice(&bytes);
        }
    }
}

fn tensor(rng: &mut SmallRng, tensors: &mut Vec<Entry>) {
    let kind = if tensors.is_empty() { 0 } else { rng.random_range(0..9) };
    let which = if tensors.is_empty() { 0 } else { rng.random_range(0..tensors.len()) };
    match kind {
        // Another tensor, of a known name or a known name with a step.
        0 => {
            let prefix = *pick(
                rng,
                &["in.", "in.", "out.", "in.grad_", "out.grad_", "in.exp_avg.", "out.exp_avg_sq."],
            );
            let mut name = format!("{prefix}{}", pick(rng, PARAMETERS));
            if rng.random_ratio(1, 3) {
                name =
                    (*pick(rng, &["in.x", "in.grad_y", "in.dropout_mask", "out.y", "out.grad_x"]))
                        .to_owned();
            }
            if rng.random_ratio(1, 4) {
                let suffix = pick(rng, &[".0", ".1", ".2", ".moments", ".support"]);
                name.push_str(suffix);
            }
            let dtype = if name.contains("mask") { "U8" } else { pick(rng, DTYPES).0 };
            let shape = axes(&name).chars().map(|axis| {
                let like = tensors.iter().find_map(|entry| {
                    let at = axes(&entry.name).find(axis)?;
                    entry.shape.get(at).copied()
                });
                like.unwrap_or(2)
            });
            let mut made = Entry { shape: shape.collect(), name, dtype, data: Vec::new() };
            if fit(rng, &mut made) {
                tensors.retain(|entry| entry.name != made.name);
                tensors.push(made);
            }
        }
        1 => drop(tensors.remove(which)),
        // One axis of every tensor that has it.
        2 | 3 => {
            let (axis, size) = (*pick(rng, &['i', 'o', 'r', 't']), *pick(rng, &SIZES[..8]));
            for entry in tensors {
                let old = entry.shape.clone();
                for (at, _) in axes(&entry.name).match_indices(axis) {
                    if let Some(dimension) = entry.shape.get_mut(at) {
                        *dimension = size;
                    }
                }
                if !fit(rng, entry) {
                    entry.shape = old;
                }
            }
        }
        // A size beyond any memory, with one of 0 beside it wherever it occurs.
        4 => {
            let all = ['i', 'o', 'r', 't'];
            let (huge, none) = (*pick(rng, &all), *pick(rng, &all));
            let size = *pick(rng, &SIZES[8..]);
            for entry in tensors {
                let old = (entry.shape.clone(), entry.data.clone());
                for (at, axis) in axes(&entry.name).char_indices() {
                    let Some(dimension) = entry.shape.get_mut(at) else { continue };
                    if axis == none {
                        *dimension = 0;
                    } else if axis == huge {
                        *dimension = size;
                    }
                }
                if !fit(rng, entry) {
                    (entry.shape, entry.data) = old;
                }
            }
        }
        // One size of one tensor.
        5 => {
            let size = *pick(rng, SIZES);
            let entry = &mut tensors[which];
            match rng.random_range(0..4) {
                0 => entry.shape.push(size),
                1 => drop(entry.shape.pop()),
                _ => {
                    if let Some(last) = entry.shape.last_mut() {
                        *last = size;
                    }
                }
            }
            fit(rng, entry);
        }
        6 => {
            let entry = &mut tensors[which];
            entry.dtype = pick(rng, DTYPES).0;
            fit(rng, entry);
        }
        _ => {
            let number = *pick(rng, NUMBERS);
            put(rng, &mut tensors[which], number);
        }
    }
}
