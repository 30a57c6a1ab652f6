//! LoRA, arXiv 2106.09685: how many numbers it trains, |Θ| = 2·L·d·r, and others beside it.

use adapter::Result;

use crate::targets::Targets;
use crate::{Claim, Finding};
use methods::Method;

const GPT3_LAYERS: usize = 96;
const GPT3_WIDTH: usize = 12_288;

pub fn claims() -> Result<Vec<Claim>> {
    let gpt3 = |matrices| Targets::attention(GPT3_LAYERS, GPT3_WIDTH, matrices);
    let (qv, qkvo) = (gpt3(2), gpt3(4));
    let r4 = qv.lora(4)?;
    let lora = |printed, count| Finding::count("", printed, count);
    let mut claims = vec![
        claim(
            1,
            "GPT-3 (96 layers of width 12288), q and v, r = 1",
            vec![lora("4.7M", qv.lora(1)?)],
        ),
        claim(
            2,
            "GPT-3: q and v with r = 2; q, k, v and o with r = 1",
            vec![
                Finding::count("q, v", "9.4M", qv.lora(2)?),
                Finding::count("q, k, v, o", "9.4M", qkvo.lora(1)?),
            ],
        ),
        Claim {
            note: Some(
                "The paper says \"roughly\". Two bytes for each number are 36.0 MiB, or 37.7 MB with units of a \
                 million.",
            ),
            ..claim(
                3,
                "GPT-3: q and v with r = 4; q, k, v and o with r = 2; the former's file in fp16",
                vec![
                    Finding::count("q, v", "18.8M", r4),
                    Finding::count("q, k, v, o", "18.8M", qkvo.lora(2)?),
                    Finding::bytes("fp16", Some("35MB"), 2 * r4),
                ],
            )
        },
        claim(
            4,
            "GPT-3: q and v with r = 8; q, k, v and o with r = 4",
            vec![
                Finding::count("q, v", "37.7M", qv.lora(8)?),
                Finding::count("q, k, v, o", "37.7M", qkvo.lora(4)?),
            ],
        ),
        claim(5, "GPT-3, q and v, r = 64", vec![lora("301.9M", qv.lora(64)?)]),
        Claim {
            note: Some("The printed value is twice the printed 301.9M of claim 5."),
            ..claim(6, "GPT-3, q, k, v and o, r = 64", vec![lora("603.8M", qkvo.lora(64)?)])
        },
    ];
    for (number, statement, layers, width, rank, printed) in [
        (7, "RoBERTa-base (12 layers of width 768), q and v, r = 8", 12, 768, 8, "0.3M"),
        (8, "RoBERTa-large (24 layers of width 1024), q and v, r = 8", 24, 1024, 8, "0.8M"),
        (9, "DeBERTa-XXL (48 layers of width 1536), q and v, r = 16", 48, 1536, 16, "4.7M"),
    ] {
        let count = Targets::attention(layers, width, 2).lora(rank)?;
        claims.push(claim(number, statement, vec![lora(printed, count)]));
    }
    claims.extend([
        Claim {
            note: Some(
                "2·L·d·r with the L and d of these models gives neither. We do not know why.",
            ),
            ..claim(
                10,
                "GPT-2 (24 layers of 1024; 36 layers of 1280), q and v, r = 4",
                vec![
                    Finding::count("medium", ".35M", Targets::attention(24, 1024, 2).lora(4)?),
                    Finding::count("large", ".77M", Targets::attention(36, 1280, 2).lora(4)?),
                ],
            )
        },
        claim(
            11,
            "Adapters of Houlsby et al. on GPT-3: 192 (2dr + r + d)",
            [
                ("r = 1", "7.1M", 1),
                ("r = 4", "21.2M", 4),
                ("r = 8", "40.1M", 8),
                ("r = 16", "77.9M", 16),
                ("r = 64", "304.4M", 64),
            ]
            .map(|(of, printed, rank)| Finding::count(of, printed, houlsby(rank)))
            .to_vec(),
        ),
        claim(
            12,
            "PrefixEmbed on GPT-3 with 256 + 8 tokens: (256 + 8) d",
            vec![lora("3.2M", (256 + 8) * GPT3_WIDTH)],
        ),
    ]);
    Ok(claims)
}

fn claim(number: usize, statement: &'static str, findings: Vec<Finding>) -> Claim {
    Claim { number, paper: Method::Lora, statement, findings, note: None }
}

/// Two in each layer: down to r and up again, with biases. Not one of our methods, so the paper's formula.
fn houlsby(rank: usize) -> usize {
    2 * GPT3_LAYERS * (2 * GPT3_WIDTH * rank + rank + GPT3_WIDTH)
}
