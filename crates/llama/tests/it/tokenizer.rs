//! Texts have the tokens that transformers gives them.
#![cfg(feature = "tokenizer")]

use std::fs;
use std::path::{Path, PathBuf};

use llama::Tokenizer;
use llama::load::load;
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

fn check(tokenizer: &Tokenizer, texts: &Value) {
    let texts = texts.as_array().unwrap();
    assert!(!texts.is_empty());
    for row in texts {
        let text = row["text"].as_str().unwrap();
        let tokens: Vec<u32> = serde_json::from_value(row["tokens"].clone()).unwrap();
        assert_eq!(tokenizer.encode_with_special(text).unwrap(), tokens, "{text:?}");
        let plain = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&plain).unwrap(), text);
    }
}

#[test]
fn a_sentence_piece_vocabulary() {
    let tokenizer = load::<f32>(golden("tiny.gguf")).unwrap().tokenizer.unwrap();
    check(&tokenizer, &json("tiny.json")["texts"]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
    assert_eq!(tokenizer.encode("x").unwrap(), [276, 123], "nothing is added unless asked for");
    assert!(!tokenizer.has_template());
}

/// The tokenizer, the chat template and the ends of SmolLM2, from its file and from a folder that we wrote.
#[test]
fn smollm2() {
    let path = std::env::var_os("LOWRANK_SMOLLM2").map(PathBuf::from).filter(|path| path.is_file());
    let Some(path) = path else {
        assert!(
            std::env::var_os("LOWRANK_REQUIRE_SMOLLM2").is_none(),
            "LOWRANK_SMOLLM2 names no file"
        );
        println!(
            "SKIPPED smollm2: LOWRANK_SMOLLM2 names no file (`cargo xtask test` fetches the model)"
        );
        return;
    };
    let document = json("tokens.json");
    let checkpoint = load::<f32>(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    llama::save::save_checkpoint(&checkpoint, llama::StorageDtype::Bf16, &saved).unwrap();
    let again = load::<f32>(&saved).unwrap();
    assert_eq!(again.model.config, checkpoint.model.config);
    for tokenizer in [checkpoint.tokenizer.unwrap(), again.tokenizer.unwrap()] {
        check(&tokenizer, &document["texts"]);
        let id = |name: &str| document[name].as_u64().map(|id| id as u32);
        assert_eq!(tokenizer.bos(), id("bos"));
        assert_eq!(tokenizer.eos(), id("eos"));
        assert_eq!(tokenizer.stops().collect::<Vec<_>>(), [2]);
        assert_eq!(tokenizer.vocabulary(), checkpoint.model.config.vocab_size);
        let chat = &document["chat"];
        let [prompt, completion] =
            ["prompt", "completion"].map(|name| chat[name].as_str().unwrap());
        let asked = serde_json::json!({"role": "user", "content": prompt});
        let answer = serde_json::json!({"role": "assistant", "content": completion});
        let render = |messages: &[Value], open| {
            let none = serde_json::Map::new();
            tokenizer.render(messages, open, &none).unwrap().unwrap().text
        };
        assert_eq!(render(&[asked.clone()], true), chat["asked"].as_str().unwrap());
        assert_eq!(render(&[asked, answer], false), chat["answered"].as_str().unwrap());
    }
}
