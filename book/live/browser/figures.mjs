// The figures that are driven: where they are, what their status says once started, and once the first slider has moved.

export const FIGURES = [
  { path: "svd.html", id: "live-ellipse", ready: /rank 2/, moved: /σ₁/ },
  { path: "svd.html", id: "live-rank", ready: /^Rank 8 keeps 1,800 of 12,288/, moved: /^Rank 9 keeps/ },
  { path: "lora.html", id: "live-gradient", ready: /L = 16\.2500/, moved: /L =/ },
  { path: "lora.html", id: "live-bf16", ready: /At ‖ΔW‖ = 0\.0039/, moved: /At ‖ΔW‖ = 0\.0078/ },
  { path: "lora-fa.html", id: "live-kept", ready: /keeps 1\.5%/ },
  { path: "vera.html", id: "live-shared", ready: /rank 4 .* rank 3/, moved: /rank 4 .* rank 3/ },
  { path: "delta-lora.html", id: "live-telescope", ready: /rank 2, and 2r is 4/, moved: /rank 3, and 2r is 6/ },
  { path: "lora-plus.html", id: "live-landscape", ready: /with λ = 16 it is/, moved: /with λ = 32 it is/ },
  { path: "practice.html", id: "live-fits", ready: /^20,971,520 numbers are trained/, moved: /^41,943,040 numbers/ },
  { path: "judge.html", id: "live-judge", ready: /^Choose/ },
  { path: "side-by-side.html", id: "live-train", ready: /^Step 50/ },
];
