use live::Experiment;
use live::fits::{Answer, Fits, Question, Run, Settings, Sizes, budget};
use live::shapes;
use serde_json::Value;

/// What `lowrank` counted in one step on SmolLM2, method by method.
const HELD: &str = include_str!("../../../../crates/finetune/tests/golden/smollm2_held.jsonl");

fn run(sizes: Sizes) -> Run {
    let (method, targets) = ("lora".to_owned(), "q_proj,v_proj".to_owned());
    Run { sizes, method, rank: 8, targets, batch: 2, tokens: 48, bits: 32 }
}

#[test]
fn smollm2_holds_what_was_measured() {
    let mut runs = 0;
    for line in HELD.lines() {
        let measured: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| measured[name].as_str().unwrap().to_owned();
        let method = text("method");
        // `lowrank` was told no rank: that of VeRA is 256.
        let rank = if method == "vera" { 256 } else { 8 };
        let smollm2 = (&shapes::smollm2()).into();
        let run = Run { rank, targets: text("targets"), method, ..run(smollm2) };
        let budget = budget(&run).unwrap();
        let held = |name: &str| measured["held"][name].as_u64().unwrap();
        let model = 4 * budget.parameters;
        assert_eq!(budget.trained, held("trainable"), "{run:?}");
        assert_eq!(budget.weights - model, held("adapter_bytes"), "{run:?}");
        assert_eq!(budget.gradients, held("gradient_bytes"), "{run:?}");
        assert_eq!(budget.optimizer, held("optimizer_bytes"), "{run:?}");
        assert_eq!(budget.saved(), held("saved_bytes"), "{run:?}");
        assert_eq!(budget.adapters, held("adapter_saved_bytes"), "{run:?}");
        // What a step frees before the optimiser moves need not be in memory together with these.
        let after = budget.weights + budget.gradients + budget.optimizer;
        assert!(held("peak_rss_bytes") > after, "{run:?}: {after}");
        runs += 1;
    }
    assert_eq!(runs, 13, "full fine-tuning, and six methods on two and on seven projections");
}

#[test]
fn models_have_their_published_sizes() {
    let published = [134_515_008, 6_738_415_616, 8_030_261_248, 70_553_706_496];
    for ((name, config), published) in shapes::models().into_iter().zip(published) {
        let budget = budget(&run((&config).into())).unwrap();
        assert_eq!(budget.parameters, published, "{name}");
    }
}

#[test]
fn a_card_is_the_smallest_that_has_room() {
    let llama = (&shapes::llama3_8b()).into();
    let card = |bits, tokens| match Fits.ask(Question::Run(Run { bits, tokens, ..run(llama) })) {
        Ok(Answer::Run { bytes, total, card, .. }) => {
            assert_eq!(bytes.iter().map(|(_, count)| count).sum::<u64>(), total);
            card
        }
        other => panic!("{other:?}"),
    };
    // 8.03 billion numbers of two bytes are 15.0 GiB, of four 29.9; of 18 bytes for 32, but for embedding and output, 5.6.
    assert_eq!([card(32, 1), card(16, 1), card(4, 1)], [Some(32), Some(16), Some(8)]);
    // Probabilities of 2·32·32 heads for 2^17 tokens each.
    assert_eq!(card(4, 1 << 17), None);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let smollm2: Sizes = (&shapes::smollm2()).into();
    let refused = |change: &dyn Fn(&mut Run)| {
        let mut run = run(smollm2);
        change(&mut run);
        format!("{:#}", Fits::start(Settings {}, &[]).unwrap().ask(Question::Run(run)).unwrap_err())
    };
    for (change, expected) in [
        (&(|run: &mut Run| run.rank = 0) as &dyn Fn(&mut Run), "the rank is 0"),
        (&|run| run.rank = 1 << 20, "the rank is 1048576"),
        (&|run| run.batch = 0, "0 sequences"),
        (&|run| run.tokens = usize::MAX, "can be counted here"),
        (&|run| run.bits = 3, "3 bits"),
        (&|run| run.method = "adapter".into(), "unknown method"),
        (&|run| run.targets = "lm_head".into(), "lm_head"),
        (&|run| run.sizes.num_key_value_heads = 2, "num_key_value_heads"),
        (&|run| run.sizes.num_hidden_layers = usize::MAX, "num_hidden_layers"),
        (&|run| run.sizes.hidden_size = 0, "hidden_size"),
    ] {
        let error = refused(change);
        assert!(error.contains(expected), "{error}");
    }
    let few_bits = refused(&|run| (run.method, run.bits) = ("full".into(), 4));
    assert!(few_bits.contains("changes the base weights"), "{few_bits}");
}
