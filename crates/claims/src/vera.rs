//! VeRA, arXiv 2310.11454: how many numbers it trains, |Θ| = L (d + r) for L tuned matrices, and LoRA beside it.

use adapter::Result;

use crate::targets::Targets;
use crate::{Claim, Finding};
use methods::Method;

/// The three ranks of the paper's table.
const RANKS: [(&str, usize); 3] = [("r = 1", 1), ("r = 16", 16), ("r = 256", 256)];
const IN_F32: [&str; 3] = ["r = 1, in f32", "r = 16, in f32", "r = 256, in f32"];

pub fn claims() -> Result<Vec<Claim>> {
    let base = Targets::attention(12, 768, 2);
    let large = Targets::attention(24, 1024, 2);
    let gpt3 = Targets::attention(96, 12_288, 2);
    let llama7 = Targets::llama(32, 4096, 11_008);
    let llama13 = Targets::llama(40, 5120, 13_824);

    let vera = |targets: &Targets| RANKS.map(|(_, rank)| targets.vera(rank));
    let lora = |targets: &Targets| RANKS.map(|(_, rank)| targets.lora(rank));
    let shared = |rank| Ok(gpt3.vera(rank)? + gpt3.shared(rank)?);
    let whole = RANKS.map(|(_, rank)| shared(rank));
    let whole_bytes = IN_F32
        .into_iter()
        .zip(whole.clone())
        .map(|(of, count)| Ok(Finding::bytes(of, None, 4 * count?)));

    Ok(vec![
        claim(
            13,
            "RoBERTa-base, q and v (24 matrices of width 768)",
            [
                counts(["18.4K", "18.8K", "24.5K"], vera(&base))?,
                bytes(["72KB", "74KB", "96KB"], vera(&base))?,
            ]
            .concat(),
        ),
        Claim {
            note: Some(
                "195 KB, printed beside 49.5K, belongs to the 49,920 that the formula gives.",
            ),
            ..claim(
                14,
                "RoBERTa-large, q and v (48 matrices of width 1024)",
                [
                    counts(["49.2K", "49.5K", "61.4K"], vera(&large))?,
                    bytes(["192KB", "195KB", "240KB"], vera(&large))?,
                ]
                .concat(),
            )
        },
        Claim {
            note: Some("The printed values count A and B, which are not trained: see claim 16."),
            ..claim(
                15,
                "GPT-3, q and v (192 matrices of width 12288)",
                counts(["2.4M", "2.8M", "8.7M"], vera(&gpt3))?,
            )
        },
        claim(
            16,
            "The same with the shared A and B counted, L (d + r) + 2dr",
            [counts(["2.4M", "2.8M", "8.7M"], whole)?, whole_bytes.collect::<Result<_>>()?]
                .concat(),
        ),
        claim(
            17,
            "LoRA beside it on RoBERTa-base, 2·L·d·r",
            counts(["36.8K", "589.8K", "9437.1K"], lora(&base))?,
        ),
        claim(
            18,
            "LoRA beside it on RoBERTa-large",
            counts(["98.3K", "1572.8K", "25165.8K"], lora(&large))?,
        ),
        claim(19, "LoRA beside it on GPT-3", counts(["4.7M", "75.5M", "1207.9M"], lora(&gpt3))?),
        claim(
            20,
            "Llama-7B, seven linear layers (width 4096, feed-forward 11008)",
            vec![
                Finding::count("LoRA r = 64", "159.9M", llama7.lora(64)?),
                Finding::count("VeRA r = 256", "1.4M", llama7.vera(256)?),
                Finding::count("VeRA r = 1024", "1.6M", llama7.vera(1024)?),
            ],
        ),
        claim(
            21,
            "Llama-13B, seven linear layers (width 5120, feed-forward 13824)",
            vec![
                Finding::count("LoRA r = 64", "250.3M", llama13.lora(64)?),
                Finding::count("VeRA r = 1024", "2.4M", llama13.vera(1024)?),
            ],
        ),
        claim(
            22,
            "LoRA of r = 16 on GPT-3's q and v for a million users, in f32",
            vec![Finding::bytes("", Some("275TB"), 1_000_000 * 4 * gpt3.lora(16)?)],
        ),
    ])
}

fn claim(number: usize, statement: &'static str, findings: Vec<Finding>) -> Claim {
    Claim { number, paper: Method::Vera, statement, findings, note: None }
}

fn counts(printed: [&'static str; 3], counts: [Result<usize>; 3]) -> Result<Vec<Finding>> {
    let each = RANKS.into_iter().zip(printed).zip(counts);
    each.map(|(((of, _), printed), count)| Ok(Finding::count(of, printed, count?))).collect()
}

/// Four bytes for each.
fn bytes(printed: [&'static str; 3], counts: [Result<usize>; 3]) -> Result<Vec<Finding>> {
    let each = IN_F32.into_iter().zip(printed).zip(counts);
    each.map(|((of, printed), count)| Ok(Finding::bytes(of, Some(printed), 4 * count?))).collect()
}
