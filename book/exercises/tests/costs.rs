//! Why cheap fine-tuning: are the answers right?

use adapter::{AdamVariant, AdamW, Group, Optimizer};
use exercises::looks::{right_counts, right_number};
use exercises::work::costs::{adam, lora_parameters, multiplications, training_bytes};
use ndarray::arr1;

#[test]
fn lora_parameters_of_published_models() {
    // GPT-3: 96 layers of width 12,288, on queries and values, r = 4. Hu et al. 2021, table 4: 18.8 million.
    let gpt3 = vec![[12_288, 12_288]; 2 * 96];
    assert_eq!(lora_parameters(&gpt3, 4), 18_874_368);
    // SmolLM2-135M: 30 layers, 192 rows of keys and values, r = 8. PEFT counts the same.
    let smollm2 = [[576, 576], [192, 576]].repeat(30);
    assert_eq!(lora_parameters(&smollm2, 8), 460_800);
    assert_eq!(lora_parameters(&[], 8), 0);
}

#[test]
fn training_bytes_of_full_and_of_lora() {
    assert_eq!(training_bytes(306_336, 306_336), 16 * 306_336);
    assert_eq!(training_bytes(306_336 + 8_064, 8_064), 4 * (306_336 + 8_064) + 12 * 8_064);
    assert_eq!(training_bytes(1000, 0), 4000);
}

#[test]
fn adam_of_the_crate_adapter() {
    let gradients = [0.5, -2.0, 0.25, 0.0, 1e-3];
    let (start, lr) = (1.0, 0.1);
    let group = Group { lr, weight_decay: 0.0 };
    let mut optimizer = AdamW::new(group, AdamVariant::Torch);
    let mut want = arr1(&[start]);
    for g in gradients {
        let g = arr1(&[g]);
        optimizer.update("p", want.view_mut().into_dyn(), g.view().into_dyn(), group).unwrap();
    }
    // The same loop with one thing wrong.
    let wrong = |correct: bool, squared: bool, epsilon_inside: bool| {
        let (mut p, mut m, mut v) = (start, 0.0, 0.0);
        for (t, g) in (1..).zip(gradients) {
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * if squared { g * g } else { g };
            let [by_m, by_v] = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powi(t));
            let (m, v) = if correct { (m / by_m, v / by_v) } else { (m, v) };
            let root = if epsilon_inside { (v + 1e-8_f64).sqrt() } else { v.sqrt() + 1e-8 };
            p -= lr * m / root;
        }
        p
    };
    let mistakes = [
        ("m and v are not divided by 1 − βᵗ", wrong(false, true, false)),
        ("ε is under the root", wrong(true, true, true)),
        ("v is an average of g and not of g²", wrong(true, false, false)),
        ("it is SGD", start - lr * gradients.iter().sum::<f64>()),
    ];
    right_number("the number after five steps", adam(start, &gradients, lr), want[0], &mistakes);
}

#[test]
fn multiplications_of_a_step() {
    for (tokens, [out, inputs], rank) in [(5, [3, 7], 2), (192, [576, 1536], 8), (0, [4, 4], 1)] {
        let (base, thin) = (tokens * out * inputs, tokens * rank * (out + inputs));
        let mistakes = [
            ("LoRA's products with A and B are missing", [3 * base, 2 * base]),
            ("LoRA forms the gradient of W", [3 * base, 3 * base + 3 * thin]),
            ("the gradients of A and B are missing", [3 * base, 2 * base + 2 * thin]),
            ("it is the forward pass alone", [base, base + thin]),
        ];
        let want = [3 * base, 2 * base + 3 * thin];
        let got = multiplications(tokens, [out, inputs], rank);
        right_counts("the count", got, want, &mistakes);
    }
}
