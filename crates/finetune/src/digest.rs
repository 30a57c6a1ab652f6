//! What a run's data and its first weights are known by: a run that goes on must have the same.

use std::io::{Write, sink};

use adapter::Real;
use llama::Llama;
use llama::data::Example;
use tensor_file::{Digest, DigestWriter, StorageDtype};

const NEVER: &str = "nothing that is written to a sink fails";

/// Of the tokens of examples, in this order, and of which are learnt.
pub fn of_examples(examples: &[Example]) -> Digest {
    let mut digest = DigestWriter::new(sink());
    let mut write = |bytes: &[u8]| digest.write_all(bytes).expect(NEVER);
    for Example { tokens, learnt } in examples {
        for &number in [tokens.len() as u32].iter().chain(tokens) {
            write(&number.to_le_bytes());
        }
        write(&learnt.iter().copied().map(u8::from).collect::<Vec<_>>());
    }
    digest.digest()
}

/// Of a model's weights, rounded to F32.
pub fn of_model<T: Real>(model: &Llama<T>) -> Digest {
    let mut digest = DigestWriter::new(sink());
    for (name, tensor) in model.tensors() {
        digest.write_all(name.as_bytes()).expect(NEVER);
        // Row by row: the bytes of a whole tensor would be as large as the tensor.
        for row in tensor.rows() {
            let bytes = StorageDtype::F32.encode(row.iter().map(|value| value.to_f64()));
            digest.write_all(&bytes).expect(NEVER);
        }
    }
    digest.digest()
}
