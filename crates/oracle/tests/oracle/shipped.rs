//! The shipped vectors, made by another program in exact arithmetic, against this one.

use oracle::{Class, Index, Op, Options, Verdict, cases_under, check, emit, read_case};

use crate::common::vectors;

/// Every case computed here agrees with the shipped one within the bound of `f64`; every one that must be refused is.
#[test]
fn emit_agrees_with_the_exact_values() {
    let folder = vectors();
    let index = Index::of(&folder).unwrap();
    let (mut judged, mut wrong) = (0, Vec::new());
    for path in cases_under(&folder).unwrap() {
        let name = path.display();
        let (case, file) = read_case(&path).unwrap();
        if !index.vouches(&case, &file) {
            wrong.push(format!("{name}: another digest"));
        }
        let made = emit(&file);
        if case.class == Some(Class::Reject) {
            if made.is_ok() {
                wrong.push(format!("{name}: accepted"));
            }
            continue;
        }
        let report = made.and_then(|made| check(&file, Some(&made), Options::default()));
        match report {
            Ok(report) if report.verdict == Verdict::Pass && report.warnings.is_empty() => {
                judged += 1
            }
            Ok(report) => wrong.push(format!("{report} {:?}", report.warnings)),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    println!("{judged} cases agree");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged >= 1000, "only {judged} cases were judged");
}

/// The shipped gauges of passes and merges are those computed here, up to the rounding of F32. (Those of AdamW differ:
/// here they also cover a moment that is computed as an interpolation.)
#[test]
fn gauges_agree() {
    let folder = vectors();
    let mut compared = 0;
    for path in cases_under(&folder).unwrap() {
        let (case, file) = read_case(&path).unwrap();
        let pass = matches!(case.op, Op::Forward | Op::Backward | Op::Merge | Op::Unmerge);
        if !pass || case.class == Some(Class::Reject) {
            continue;
        }
        let made = emit(&file).unwrap();
        for (name, shipped) in file.tensors.iter().filter(|(name, _)| name.starts_with("gauge.")) {
            if name.starts_with("gauge.projected") {
                continue; // of the residual here, of the inverse there
            }
            let [shipped, ours] =
                [shipped, &made.tensors[name]].map(|tensor| tensor.to_f64().unwrap());
            for (&shipped, &ours) in shipped.iter().zip(&ours) {
                let same = shipped == ours || !shipped.is_finite() || !ours.is_finite();
                // One F32 apart, since `f64` may fall on the other side of one.
                let close = (shipped - ours).abs() <= 2.0_f64.powi(-23) * ours;
                assert!(same || close, "{} {name}: {shipped}, here {ours}", path.display());
                compared += 1;
            }
        }
    }
    println!("{compared} numbers agree");
    assert!(compared > 10_000, "{compared}");
}
