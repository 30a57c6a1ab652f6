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
        assert_eq!(render(std::slice::from_ref(&asked), true), chat["asked"].as_str().unwrap());
        assert_eq!(render(&[asked, answer], false), chat["answered"].as_str().unwrap());
    }
}

/// A folder with the small tokenizer, changed, and other files.
fn folder(change: impl Fn(&mut Value), files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut tokenizer = json("tokenizer.json");
    change(&mut tokenizer);
    let write = |name: &str, json: &Value| {
        fs::write(folder.path().join(name), json.to_string()).unwrap();
    };
    write("tokenizer.json", &tokenizer);
    for (name, json) in files {
        write(name, json);
    }
    folder
}

/// What stands around a text is there once, whatever the tokenizer adds and the text spells out.
#[test]
fn special_tokens_are_not_doubled() {
    let both = |tokenizer: &mut Value| {
        let single = tokenizer["post_processor"]["single"].as_array_mut().unwrap();
        single.push(serde_json::json!({"SpecialToken": {"id": "</s>", "type_id": 0}}));
        tokenizer["post_processor"]["special_tokens"]["</s>"] =
            serde_json::json!({"id": "</s>", "ids": [2], "tokens": ["</s>"]});
    };
    let special =
        [("special_tokens_map.json", serde_json::json!({"bos_token": "<s>", "eos_token": "</s>"}))];
    for folder in [folder(|_| {}, &special), folder(both, &special)] {
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
        let text = tokenizer.encode("the").unwrap();
        let around = |before: &[u32], after: &[u32]| [before, &text, after].concat();
        assert_eq!(tokenizer.encode_open("the").unwrap(), around(&[1], &[]));
        assert_eq!(tokenizer.encode_closed("the").unwrap(), around(&[1], &[2]));
        assert_eq!(tokenizer.encode_closed("the</s>").unwrap(), around(&[1], &[2]));
        let spelled = tokenizer.encode_closed("<s>the</s>").unwrap();
        assert_eq!(spelled.iter().filter(|&&token| token <= 2).count(), 2, "{spelled:?}");
    }
}

/// transformers adds the tokens that tokenizer_config.json has and tokenizer.json lacks.
#[test]
fn added_tokens_of_the_config() {
    let size = |tokenizer: &Value| {
        let vocabulary = tokenizer["model"]["vocab"].as_object().unwrap();
        vocabulary.len() as u64
    };
    let next = size(&json("tokenizer.json"));
    let config = |id: u64| {
        let added = serde_json::json!({
            "1": {"content": "<s>", "special": true},
            id.to_string(): {"content": "<|call|>", "special": true, "normalized": false},
        });
        [("tokenizer_config.json", serde_json::json!({"added_tokens_decoder": added}))]
    };
    let good = folder(|_| {}, &config(next));
    let tokenizer = Tokenizer::from_folder(good.path()).unwrap().unwrap();
    assert!(tokenizer.encode("the<|call|>").unwrap().contains(&(next as u32)));
    let bad = folder(|_| {}, &config(next + 5));
    let error = Tokenizer::from_folder(bad.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json") && error.contains("<|call|>"), "{error}");
}

/// And those that it has otherwise. The numbers are what transformers 5.23 gives: `golden/added.py` prints them.
#[test]
fn what_the_config_says_of_a_token_goes_before() {
    let added = |stripped: bool| {
        let end = serde_json::json!({
            "content": "</s>", "special": true, "normalized": false, "rstrip": stripped,
        });
        [("tokenizer_config.json", serde_json::json!({"added_tokens_decoder": {"2": end}}))]
    };
    let tokens = |stripped| {
        let folder = folder(|_| {}, &added(stripped));
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
        tokenizer.encode_with_special("the</s>\nthe").unwrap()
    };
    assert_eq!(tokens(false), [1, 357, 2, 259, 13, 356]);
    assert_eq!(tokens(true), [1, 357, 2, 357]);
}

/// The library panics on these.
#[test]
fn what_is_not_explained_in_a_tokenizer_is_an_error() {
    let ends = |tokenizer: &mut Value| {
        let single = tokenizer["post_processor"]["single"].as_array_mut().unwrap();
        single.push(serde_json::json!({"SpecialToken": {"id": "</s>", "type_id": 0}}));
    };
    let inside = |tokenizer: &mut Value| {
        ends(tokenizer);
        let inner = tokenizer["post_processor"].take();
        tokenizer["post_processor"] =
            serde_json::json!({"type": "Sequence", "processors": [inner]});
    };
    let goes_on = |tokenizer: &mut Value| {
        tokenizer["model"]["continuing_subword_prefix"] = "a long prefix".into();
    };
    let changes: [(&dyn Fn(&mut Value), &str); 3] = [
        (&ends, "its post_processor has \"</s>\" and no such entry in special_tokens"),
        (&inside, "its post_processor has \"</s>\""),
        (&goes_on, "does not go on with \"a long prefix\""),
    ];
    for (change, expected) in changes {
        let folder = folder(change, &[]);
        let error = Tokenizer::from_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && error.contains(expected), "{error}");
    }
}

/// As in transformers: a file goes before the configuration, and tools may have a template of their own.
#[test]
fn templates_by_name() {
    let named = serde_json::json!([
        {"name": "default", "template": "old"},
        {"name": "tool_use", "template": "old tools"},
    ]);
    let folder =
        folder(|_| {}, &[("tokenizer_config.json", serde_json::json!({"chat_template": named}))]);
    let text = |more: Value| {
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
        let rendered = tokenizer.render(&[], false, more.as_object().unwrap());
        rendered.unwrap().unwrap().text
    };
    let tools = || serde_json::json!({"tools": [{}]});
    assert_eq!(text(serde_json::json!({})), "old");
    assert_eq!(text(tools()), "old tools");
    fs::write(folder.path().join("chat_template.jinja"), "new").unwrap();
    assert_eq!(text(tools()), "new");
    fs::create_dir(folder.path().join("additional_chat_templates")).unwrap();
    let path = folder.path().join("additional_chat_templates/tool_use.jinja");
    fs::write(path, "new tools").unwrap();
    assert_eq!((text(serde_json::json!({})), text(tools())), ("new".into(), "new tools".into()));
}

/// A template comes with a downloaded model.
#[test]
fn a_template_without_an_end_is_an_error() {
    let loops =
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}";
    let template = [("tokenizer_config.json", serde_json::json!({"chat_template": loops}))];
    let folder = folder(|_| {}, &template);
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    let error = tokenizer.render(&[], true, &serde_json::Map::new()).unwrap_err().to_string();
    assert!(error.contains("10000000 steps"), "{error}");
}

/// The library panics on these.
#[test]
fn a_damaged_decoder_is_an_error() {
    let good = json("tokenizer.json").to_string();
    let cut = &good[..good.find("\"ByteFallback\"").unwrap() + 3];
    let ends = good.replace("\"stop\":0", "\"stop\":7");
    let number = good.replace("\"stop\":0", "\"stop\":1e999");
    assert!(ends != good && number != good);
    for text in [cut, &ends, &number] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        fs::write(&path, text).unwrap();
        let error = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    }
}

#[test]
fn a_date_is_a_date() {
    let template = [(
        "tokenizer_config.json",
        serde_json::json!({"chat_template": "{{ strftime_now('%d %b %Y') }}"}),
    )];
    let folder = folder(|_| {}, &template);
    let mut tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    let date = |tokenizer: &Tokenizer| {
        tokenizer.render(&[], true, &serde_json::Map::new()).unwrap().unwrap().text
    };
    assert_ne!(date(&tokenizer), "26 Jul 2024", "today");
    tokenizer.set_date("2024-07-26").unwrap();
    assert_eq!(date(&tokenizer), "26 Jul 2024");
    assert!(tokenizer.set_date("26.7.2024").unwrap_err().to_string().contains("2024-07-26"));
}
