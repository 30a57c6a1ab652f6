use serde_json::{Map, Value, json};

use super::*;
use crate::Result;

const PLAIN: &str = r#"{"model_type": "llama", "vocab_size": 64, "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 4}"#;

/// `PLAIN` with more fields, or others.
fn with(changes: Value) -> Result<Config> {
    let mut json: Map<String, Value> = serde_json::from_str(PLAIN).unwrap();
    json.extend(changes.as_object().unwrap().clone());
    Config::from_json(&Value::Object(json).to_string())
}

#[test]
fn what_is_left_out_is_what_transformers_takes_it_to_be() {
    let config = Config::from_json(PLAIN).unwrap();
    assert_eq!(config.num_key_value_heads, 4);
    assert_eq!(config.head_dim, 4);
    assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-6, 1e4));
    assert_eq!(config.max_position_embeddings, 2048);
    assert!(!config.tie_word_embeddings && config.rope_scaling.is_none());
    let null = json!({"head_dim": null, "num_key_value_heads": null, "rope_scaling": null});
    assert_eq!(with(null).unwrap(), config);
}

#[test]
fn rope_is_read_wherever_it_is() {
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let old = with(json!({"rope_theta": 5e5, "rope_scaling": llama3})).unwrap();
    assert!(
        matches!(old.rope_scaling, Some(RopeScaling::Llama3(scaling)) if scaling.factor == 8.0)
    );
    let mut inner = llama3.clone();
    inner["rope_theta"] = json!(5e5);
    assert_eq!(with(json!({"rope_parameters": inner})).unwrap(), old);
    let mut oldest = llama3;
    oldest["type"] = oldest["rope_type"].take();
    assert_eq!(with(json!({"rope_theta": 500_000, "rope_scaling": oldest})).unwrap(), old);
    let plain = json!({"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "rope_scaling": {}});
    let plain = with(plain).unwrap();
    assert_eq!((plain.rope_theta, plain.rope_scaling), (500.0, None));
}

#[test]
fn what_this_decoder_does_not_have_is_named() {
    for (changes, expected) in [
        (
            json!({"model_type": "gemma3n"}),
            "model_type \"gemma3n\" is unknown: read are \"llama\", \"mistral\"",
        ),
        (
            json!({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}),
            "give its text part alone, as a folder of model_type \"gemma3_text\" or as a GGUF file",
        ),
        (
            json!({"architectures": ["LlamaForSequenceClassification"]}),
            "LlamaForSequenceClassification",
        ),
        (json!({"model_type": null}), "neither model_type nor architectures"),
        (json!({"model_type": null, "architectures": ["GPT2LMHeadModel"]}), "GPT2LMHeadModel"),
        (json!({"mlp_bias": "yes"}), "mlp_bias is \"yes\": it must be true or false"),
        (json!({"hidden_act": "mish"}), "hidden_act \"mish\" is unknown"),
        (json!({"quantization_config": {"quant_method": "gptq"}}), "gptq"),
        (
            json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
            "rope_scaling \"dynamic\" is unknown",
        ),
        (
            json!({"rope_parameters": {"rope_type": "longrope"}}),
            "rope_parameters \"longrope\" is unknown",
        ),
        (json!({"rope_scaling": {"rope_type": "llama3"}}), "has no factor"),
        (json!({"rope_scaling": "llama3"}), "rope_scaling is \"llama3\": it must be an object"),
        (json!({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}), "differs by layer"),
        (json!({"partial_rotary_factor": 1.5}), "RoPE turns 6 numbers of a head of width 4"),
        (json!({"hidden_size": null}), "hidden_size is missing"),
        (json!({"hidden_size": -16}), "hidden_size is -16: it must be a whole number"),
        (json!({"hidden_size": 1e300}), "hidden_size is 1e+300: it must be a whole number"),
        (json!({"hidden_size": 18}), "hidden_size is 18, not a multiple of num_attention_heads, 4"),
        (json!({"num_attention_heads": 0}), "num_attention_heads, 0"),
        (json!({"num_attention_heads": 0, "head_dim": 4}), "num_attention_heads is 0"),
        (json!({"num_key_value_heads": 0}), "num_key_value_heads is 0"),
        (json!({"num_key_value_heads": 3}), "not a multiple of num_key_value_heads, 3"),
        (json!({"head_dim": 5}), "head_dim is 5"),
        (json!({"head_dim": 1 << 27}), "their product must be at most 2^28"),
        (json!({"vocab_size": 0}), "vocab_size is 0"),
        (json!({"num_hidden_layers": 1u64 << 40}), "num_hidden_layers is 1099511627776"),
        (
            json!({"model_type": "mistral", "sliding_window": 8, "num_hidden_layers": 1 << 20}),
            "at most 65536",
        ),
        (json!({"rms_norm_eps": 0}), "rms_norm_eps is 0"),
        (json!({"rope_theta": -1.0}), "rope_theta is -1"),
    ] {
        let text = changes.to_string();
        let error = with(changes).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error = Config::from_json("[]").unwrap_err().to_string();
    assert!(error.contains("not a JSON object"), "{error}");
}

#[test]
fn a_scaling_that_divides_by_nothing_is_refused() {
    let scaling = |factor: f64, low: f64, high: f64| {
        with(
            json!({"rope_scaling": {"rope_type": "llama3", "factor": factor, "low_freq_factor": low,
            "high_freq_factor": high, "original_max_position_embeddings": 8192}}),
        )
    };
    assert!(scaling(8.0, 1.0, 4.0).is_ok());
    for (factor, low, high) in [(0.0, 1.0, 4.0), (8.0, 1.0, 1.0), (8.0, 4.0, 1.0), (8.0, 0.0, 1.0)]
    {
        assert!(scaling(factor, low, high).is_err(), "{factor} {low} {high}");
    }
}

#[test]
fn a_part_of_a_head_is_written_such_that_it_is_read_back() {
    for head_dim in (4..=256).step_by(2) {
        for dim in (2..head_dim).step_by(2) {
            let variant = Variant { rotary_dim: Some(dim), ..Variant::default() };
            let config = Config { head_dim, variant, ..Config::from_json(PLAIN).unwrap() };
            let text = Value::Object(config.to_json()).to_string();
            assert_eq!(Config::from_json(&text).unwrap(), config);
        }
    }
    let whole =
        json!({"partial_rotary_factor": 0.5, "rope_parameters": {"partial_rotary_factor": 1.0}});
    assert_eq!(with(whole).unwrap().rotary_dim(), 4, "rope_parameters goes before");
}

/// transformers 4 takes three fields and no others; 5 takes them too.
#[test]
fn long_rope_is_written_as_every_transformers_reads_it() {
    let scaling =
        json!({"type": "longrope", "short_factor": [1.25, 1.5], "long_factor": [2.0, 4.0]});
    let phi = |scaling: &Value| {
        let fields = json!({
            "model_type": "phi3", "max_position_embeddings": 64, "rope_scaling": scaling,
            "original_max_position_embeddings": 16,
        });
        with(fields).unwrap().to_json()
    };
    assert_eq!(phi(&scaling)["rope_scaling"], scaling);
    assert_eq!(phi(&scaling)["original_max_position_embeddings"], 16);
    let mut other = scaling.clone();
    other["attention_factor"] = 1.5.into();
    assert_eq!(phi(&other)["rope_scaling"], other);
}

#[test]
fn a_mistral_whose_layers_differ_is_a_ministral() {
    let mistral = json!({"model_type": "mistral", "num_key_value_heads": 4});
    let plain = with(mistral.clone()).unwrap();
    assert_eq!([plain.window(0), plain.window(1)], [Some(4096); 2]);
    let mut without = mistral.clone();
    without["sliding_window"] = Value::Null;
    assert_eq!(with(without).unwrap().window(0), None, "null is not the same as not there");
    let mut mixed = mistral;
    mixed["layer_types"] = json!(["full_attention", "sliding_attention"]);
    let mixed = with(mixed).unwrap();
    assert_eq!(mixed.variant.architecture, Architecture::Ministral);
    assert_eq!([mixed.window(0), mixed.window(1)], [None, Some(4096)]);
}

#[test]
fn yarn_is_read_as_transformers_reads_it() {
    let yarn = |changes: Value| -> Result<YarnScaling> {
        let mut rope = json!({"rope_type": "yarn", "original_max_position_embeddings": 512});
        rope.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        match with(json!({"rope_scaling": rope}))?.rope_scaling {
            Some(RopeScaling::Yarn(scaling)) => Ok(scaling),
            other => panic!("{other:?}"),
        }
    };
    // The defaults, and a factor that follows from the two contexts: 2048 / 512.
    let plain = yarn(json!({"factor": null, "beta_slow": 0})).unwrap();
    assert_eq!((plain.factor, plain.beta_fast, plain.beta_slow), (4.0, 32.0, 1.0));
    assert_eq!((plain.attention_factor, plain.truncate), (0.1 * 4f64.ln() + 1.0, true));
    let factor = |changes| yarn(changes).unwrap().attention_factor;
    assert_eq!(factor(json!({"factor": 4, "attention_factor": 1.5, "mscale": 2.0})), 1.5);
    assert_eq!(factor(json!({"factor": 4, "mscale": 1.0, "mscale_all_dim": 1.0})), 1.0);
    assert_eq!(factor(json!({"factor": 4, "mscale": 2.0})), plain.attention_factor);
    for wrong in [
        json!({"factor": 0.5}),
        json!({"factor": 4, "beta_fast": 1, "beta_slow": 2}),
        json!({"factor": 4, "attention_factor": -1}),
        json!({"factor": 4, "original_max_position_embeddings": 0}),
    ] {
        let text = wrong.to_string();
        assert!(yarn(wrong).is_err(), "{text}");
    }
}

/// In the manner of transformers 4 and of transformers 5.
#[test]
fn the_two_sets_of_rope_of_a_gemma_3_are_read_wherever_they_are() {
    let gemma = |mut changes: Value| {
        changes["model_type"] = json!("gemma3_text");
        changes["num_key_value_heads"] = json!(4);
        with(changes)
    };
    let linear = json!({"rope_type": "linear", "factor": 8.0});
    let old = json!({"rope_theta": 5e5, "rope_local_base_freq": 5e3, "rope_scaling": linear});
    let old = gemma(old).unwrap();
    assert_eq!((old.rope_theta, old.variant.sliding_rope_theta), (5e5, Some(5e3)));
    assert_eq!(old.rope_scaling, Some(RopeScaling::Linear { factor: 8.0 }));
    let sets = |full: &Value, sliding: &Value| json!({"full_attention": full, "sliding_attention": sliding});
    let full = json!({"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5});
    let sliding = json!({"rope_type": "default", "rope_theta": 5e3});
    let new = json!({"rope_parameters": sets(&full, &sliding)});
    assert_eq!(gemma(new).unwrap(), old);
    let bases = json!({"rope_theta": 5e5, "rope_local_base_freq": 5e3,
        "rope_parameters": sets(&linear, &json!({"rope_type": "default"}))});
    assert_eq!(gemma(bases).unwrap(), old);

    for (changes, expected) in [
        (json!({"rope_parameters": full}), "rope_parameters has no sliding_attention"),
        (json!({"rope_parameters": sets(&Value::Null, &sliding)}), "has no full_attention"),
        (
            json!({"rope_parameters": sets(&full, &linear)}),
            "sliding_attention of rope_parameters is \"linear\"",
        ),
        (
            json!({"rope_parameters": sets(&json!({"rope_type": "longrope"}), &sliding)}),
            "full_attention of rope_parameters \"longrope\" is unknown",
        ),
        (
            json!({"rope_parameters": sets(&full, &sliding), "rope_scaling": linear}),
            "one of them is read",
        ),
        (json!({"rope_local_base_freq": 0}), "rope_local_base_freq is 0"),
        (json!({"partial_rotary_factor": 0.5}), "parts of heads that RoPE turns"),
        (json!({"sliding_window_pattern": 0}), "sliding_window_pattern is 0"),
        (json!({"attn_logit_softcapping": 50.0}), "attn_logit_softcapping is 50"),
        (json!({"use_bidirectional_attention": true}), "only tokens before are seen"),
    ] {
        let text = changes.to_string();
        let error = gemma(changes).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn longrope_is_read_as_transformers_reads_it() {
    let phi = |scaling: Value, mut changes: Value| {
        changes["model_type"] = json!("phi3");
        changes["rope_scaling"] = scaling;
        with(changes)
    };
    let (short, long) = (json!([1.0, 1.5]), json!([2, 8]));
    let scaling = |kind: &str| json!({"type": kind, "short_factor": short, "long_factor": long});
    let contexts = json!({"max_position_embeddings": 128, "original_max_position_embeddings": 16});
    let config = phi(scaling("longrope"), contexts.clone()).unwrap();
    // √(1 + ln 8/ln 16) = √(1 + 3/4)
    let Some(RopeScaling::LongRope(read)) = &config.rope_scaling else { panic!("{config:?}") };
    assert!((read.attention_factor - 1.75_f64.sqrt()).abs() < 1e-15);
    assert_eq!(config.frequencies(), [1.0, 0.01 / 1.5]);
    for kind in ["su", "yarn"] {
        assert_eq!(phi(scaling(kind), contexts.clone()).unwrap(), config, "{kind}");
    }
    assert!(config.check_length(16).is_ok());
    let error = config.check_length(17).unwrap_err().to_string();
    assert!(error.contains("a text has 17 tokens"), "{error}");
    let lengthened =
        json!({"type": "su", "short_factor": short, "long_factor": long, "factor": 0.5});
    let plain = phi(lengthened, contexts).unwrap();
    assert_eq!(plain.attention_factor(), 1.0);

    for (scaling, expected) in [
        (json!({"type": "longrope", "short_factor": short}), "has no long_factor"),
        (
            json!({"type": "su", "short_factor": [1.0], "long_factor": long}),
            "short_factor of rope_scaling has 1 numbers: one for each of the 2 frequencies",
        ),
        (
            json!({"type": "su", "short_factor": short, "long_factor": [1.0, 0.0]}),
            "long_factor of rope_scaling is 0",
        ),
        (
            json!({"type": "su", "short_factor": "1", "long_factor": long}),
            "it must be a list of numbers",
        ),
        (json!({"type": "linear", "factor": 2.0}), "scalings of RoPE are not those of a Phi3"),
    ] {
        let text = scaling.to_string();
        let error = phi(scaling, json!({})).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn layers_that_do_not_add_up_are_named() {
    for (changes, expected) in [
        (
            json!({"model_type": "qwen2", "architectures": ["LlamaForCausalLM"]}),
            "only \"Qwen2ForCausalLM\" is read",
        ),
        (
            json!({"model_type": "ministral", "layer_types": ["full_attention"]}),
            "layer_types has 1 entries",
        ),
        (
            json!({"model_type": "ministral", "layer_types": ["full_attention", "conv"]}),
            "layer_types says \"conv\"",
        ),
        (
            json!({"model_type": "qwen2", "layer_types": ["full_attention", "sliding_attention"]}),
            "sliding_attention of layer 1, and there is no sliding_window in use",
        ),
        (json!({"model_type": "mistral", "sliding_window": 0}), "sliding_window is 0"),
        (
            json!({"model_type": "mistral", "sliding_window": -1}),
            "sliding_window is -1: it must be a whole number",
        ),
        (json!({"model_type": "smollm3", "no_rope_layers": [1]}), "no_rope_layers has 1 entries"),
        (
            json!({"model_type": "smollm3", "no_rope_layer_interval": 0}),
            "no_rope_layer_interval is 0",
        ),
        (
            json!({"model_type": "smollm3", "no_rope_layers": "all"}),
            "it must be a list of whole numbers",
        ),
    ] {
        let text = changes.to_string();
        let mut changes = changes;
        changes["num_key_value_heads"] = json!(4);
        let error = with(changes).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_an_architecture_has_no_words_for_is_refused() {
    let plain = Config::from_json(PLAIN).unwrap();
    let llama = Variant::default();
    let of = |architecture| Variant { architecture, ..Variant::default() };
    for (variant, expected) in [
        (
            Variant { qkv_bias: true, ..llama.clone() },
            "these attention biases are not those of a Llama",
        ),
        (Variant { sliding_window: Some(4), ..llama.clone() }, "sliding windows"),
        (Variant { norms: Norms::After, ..llama.clone() }, "places of norms"),
        (Variant { gains_from_one: true, ..llama.clone() }, "gains of norms"),
        (Variant { residual_multiplier: Some(0.5), ..llama.clone() }, "multipliers"),
        (Variant { logits_cap: Some(30.0), ..llama.clone() }, "caps"),
        (Variant { sliding_rope_theta: Some(1e4), ..llama.clone() }, "bases of RoPE"),
        (Variant { fused: true, ..llama.clone() }, "projections"),
        (of(Architecture::Phi3), "projections"),
        (Variant { qk_norm: Some(QkNorm::Head), ..llama.clone() }, "norms of queries and keys"),
        (Variant { no_rope_layers: [0].into(), ..llama.clone() }, "layers without RoPE"),
        (Variant { mlp_bias: true, ..of(Architecture::Mistral) }, "MLP biases"),
        (of(Architecture::Qwen2), "attention biases"),
        (of(Architecture::Qwen3), "norms of queries and keys"),
        (
            Variant { no_rope_layers: [2].into(), ..of(Architecture::SmolLM3) },
            "no_rope_layers has layer 2: the last is 1",
        ),
    ] {
        let error = Config { variant, ..plain.clone() }.validate().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_matrix_of_several_projections_goes_by_the_names_of_its_parts() {
    use crate::Projection::{Down, Gate, GateUp, K, O, Q, Qkv, Up, V};
    let phi = with(json!({"model_type": "phi3", "num_key_value_heads": 2})).unwrap();
    assert_eq!(phi.projections(), [Qkv, O, GateUp, Down]);
    assert_eq!(phi.holding(&[V, Q, Up]).unwrap(), [Qkv, GateUp]);
    assert_eq!(phi.holding(&[Down, Qkv, K]).unwrap(), [Down, Qkv]);
    assert_eq!(phi.beside(&[V, Q, Up, Down]), [K, Gate]);
    assert_eq!(phi.beside(&[Down, Qkv, K]), []);
    assert_eq!(phi.beside(&[Q, K, V, O, Gate, Up, Down]), []);
    // 4 heads of 4 numbers for q, 2 for k and 2 for v; 24 rows each for gate and up.
    assert_eq!(Qkv.shape(&phi), [32, 16]);
    assert_eq!(GateUp.shape(&phi), [48, 16]);
    let llama = Config::from_json(PLAIN).unwrap();
    assert_eq!(llama.holding(&[Q, Gate]).unwrap(), [Q, Gate]);
    assert_eq!(llama.beside(&[Q, Gate]), []);
    let error = llama.holding(&[Qkv]).unwrap_err().to_string();
    assert!(error.contains("qkv_proj") && error.contains("this model has q_proj"), "{error}");
}
