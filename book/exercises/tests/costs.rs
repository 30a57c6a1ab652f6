//! Why cheap fine-tuning: are the answers right?

use exercises::work::costs::{lora_parameters, training_bytes};

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
