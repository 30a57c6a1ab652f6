//! The book's picture: drawn by rays, so that it can be made anywhere.

use ndarray::Array2;

/// Its height and width.
pub const SIZE: (usize, usize) = (96, 128);

/// A ball on a tiled floor, lit from the upper left: brightness from 0 to 1, [96, 128].
pub fn scene() -> Array2<f64> {
    let (height, width) = SIZE;
    Array2::from_shape_fn(SIZE, |(row, column)| {
        let scale = 2.4 / width as f64;
        let x = (column as f64 + 0.5 - width as f64 / 2.0) * scale;
        let y = (height as f64 / 2.0 - row as f64 - 0.5) * scale;
        shade(normalize([x, y - 0.15, -1.6]))
    })
}

const EYE: [f64; 3] = [0.0, 0.75, 3.2];
const CENTRE: [f64; 3] = [0.0, 0.3, 0.0];
const RADIUS: f64 = 0.8;
const FLOOR: f64 = -0.5;

/// The brightness seen from the eye in a direction.
fn shade(ray: [f64; 3]) -> f64 {
    let light = normalize([-0.6, 0.9, 0.5]);
    if let Some(distance) = hit_ball(EYE, ray) {
        let point = along(EYE, ray, distance);
        let normal = normalize(std::array::from_fn(|i| point[i] - CENTRE[i]));
        return 0.12 + 0.83 * dot(normal, light).max(0.0);
    }
    if ray[1] >= 0.0 {
        return 0.85 - 0.5 * ray[1];
    }
    let point = along(EYE, ray, (FLOOR - EYE[1]) / ray[1]);
    let dark = ((point[0] / 0.7).floor() + (point[2] / 0.7).floor()).rem_euclid(2.0) == 0.0;
    let tile = if dark { 0.35 } else { 0.75 };
    let shadow = if hit_ball(point, light).is_some() { 0.35 } else { 1.0 };
    // Tiles fade into the distance.
    let fade = (-point[2] / 12.0).clamp(0.0, 1.0);
    tile * shadow * (1.0 - fade) + 0.6 * fade
}

/// How far along a ray of length 1 the ball is first met.
fn hit_ball(from: [f64; 3], ray: [f64; 3]) -> Option<f64> {
    let to: [f64; 3] = std::array::from_fn(|i| CENTRE[i] - from[i]);
    let nearest = dot(to, ray);
    let inside = RADIUS * RADIUS - (dot(to, to) - nearest * nearest);
    (nearest > 0.0 && inside > 0.0).then(|| nearest - inside.sqrt())
}

fn along(from: [f64; 3], ray: [f64; 3], distance: f64) -> [f64; 3] {
    std::array::from_fn(|i| from[i] + distance * ray[i])
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn normalize(v: [f64; 3]) -> [f64; 3] {
    let length = dot(v, v).sqrt();
    v.map(|x| x / length)
}
