use finetune::{Data, Plan};
use live::train::{Answer, Question, Settings};
use live::{Experiment, Train};
use methods::Method;

const MODEL: &[u8] = include_bytes!("../../../../crates/llama/assets/tiny.safetensors");

fn settings(method: Method, lr: f64, steps: usize) -> Settings {
    Settings { method: method.to_string(), options: [].into(), lr, steps, batch: 4, seed: 3 }
}

fn step(train: &mut Train) -> anyhow::Result<f64> {
    match train.ask(Question::Step)? {
        Answer::Step { loss, .. } => Ok(loss),
        other => panic!("{other:?}"),
    }
}

/// Every method, bit for bit, as `lowrank finetune` and the book's tables have it.
#[test]
fn a_run_is_the_command_lines() {
    let steps = 4;
    for &method in Method::ALL {
        let plan = Plan { steps, batch: 4, seed: 3, ..Plan::embedded(method, 0.003) };
        let mut data = Data::embedded(&plan, Some(3)).unwrap();
        data.held_out.truncate(20);
        let model = llama::tiny::model::<f32>().unwrap();
        let compared = [llama::Projection::Q];
        let record = finetune::run(&plan, &model, &data, &compared, &mut |_| ()).unwrap();

        let mut train = Train::start(settings(method, 0.003, steps), MODEL).unwrap();
        let losses: Vec<f64> = (0..steps).map(|_| step(&mut train).unwrap()).collect();
        assert_eq!(losses, record.losses, "{method}");
        let module = "model.layers.0.self_attn.q_proj";
        let change = train.ask(Question::Change(module.into())).unwrap();
        assert_eq!(change, Answer::Change(record.spectra[module].clone()), "{method}");
        assert_eq!(train.ask(Question::HeldOut(20)).unwrap(), Answer::HeldOut(record.after));
        let error = step(&mut train).unwrap_err().to_string();
        assert_eq!(error, "the run has made its 4 steps");
    }
}

#[test]
fn before_training_it_sorts_upwards() {
    let mut train = Train::start(settings(Method::Lora, 0.01, 1), MODEL).unwrap();
    let answer = train.ask(Question::Write("31415926".into())).unwrap();
    let expected = Answer::Write { written: "11234569".into(), right: "96543211".into() };
    assert_eq!(answer, expected);
    for digits in ["3141592", "314159265", "3141592>", "3141592x"] {
        assert!(train.ask(Question::Write(digits.into())).is_err(), "{digits}");
    }
}

#[test]
fn a_rate_that_diverges_is_said() {
    for (method, lr) in [(Method::Lora, 30.0), (Method::Full, 100.0), (Method::LoraPlus, 1e30)] {
        let mut train = Train::start(settings(method, lr, 40), MODEL).unwrap();
        let error = (0..40).find_map(|_| step(&mut train).err()).expect("it diverges").to_string();
        assert!(error.contains("training diverged") || error.contains("not finite"), "{error}");
        assert!(error.contains("try a smaller learning rate"), "{error}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut Settings), file: &[u8]| {
        let mut settings = settings(Method::Lora, 0.01, 10);
        change(&mut settings);
        Train::start(settings, file).map(|_| ()).unwrap_err().to_string()
    };
    let rank = |s: &mut Settings| drop(s.options.insert("rank".into(), "0".into()));
    for (change, expected) in [
        (&rank as &dyn Fn(&mut Settings), "rank"),
        (&|s| s.method = "adapter".into(), "unknown method"),
        (&|s| s.lr = f64::NAN, "lr is NaN"),
        (&|s| s.steps = 0, "1 to 4000 steps"),
        (&|s| s.batch = 1_000_000, "1 to 4000 steps"),
    ] {
        let error = refused(change, MODEL);
        assert!(error.contains(expected), "{error}");
    }
    assert!(refused(&|_| (), b"no model").contains("the embedded model"));
}
