"""Every framework's arrays, bfloat16 among them, arrive as the numbers they are."""

import numpy as np
import pytest

import lowrank_oracle
from lowrank_oracle._arrays import mask, named

VALUES = np.array([[1.0, -0.5, 3.140625], [0.0, 2.0**-20, -(2.0**20)]])
BITS = (VALUES.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def same(value, dtype, bits=False):
    got_dtype, array = named("y", value)
    assert got_dtype == dtype
    np.testing.assert_array_equal(array, BITS if bits else VALUES)


def same_mask(value, kept):
    dtype, array = mask("dropout_mask", value)
    assert dtype == "U8"
    np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize(("dtype", "name"), [(np.float64, "F64"), (np.float32, "F32")])
def test_numpy(dtype, name):
    same(VALUES.astype(dtype), name)
    same(np.asfortranarray(VALUES.astype(dtype)), name)
    same(VALUES.astype(dtype).astype(np.dtype(dtype).newbyteorder(">")), name)


def test_torch():
    torch = pytest.importorskip("torch")
    x = torch.tensor(VALUES)
    same(x, "F64")
    same(x.float().requires_grad_() * 1, "F32")
    same(x.bfloat16(), "BF16", bits=True)
    same(x.T.contiguous().T.bfloat16().requires_grad_(), "BF16", bits=True)
    case = lowrank_oracle.load("lora/backward/dropout-half-bounded")
    inputs = case.inputs_as(torch.bfloat16)
    assert {tensor.dtype for tensor in inputs.values()} == {torch.bfloat16}
    for name, tensor in inputs.items():
        np.testing.assert_array_equal(tensor.double().numpy(), case.inputs[name])


def test_jax():
    jnp = pytest.importorskip("jax.numpy")
    same(jnp.asarray(VALUES, jnp.float32), "F32")
    same(jnp.asarray(VALUES, jnp.bfloat16), "BF16", bits=True)
    same(np.asarray(jnp.asarray(VALUES, jnp.bfloat16)), "BF16", bits=True)


def test_mlx():
    mx = pytest.importorskip("mlx.core")
    same(mx.array(VALUES.astype(np.float32)), "F32")
    same(mx.array(VALUES).astype(mx.bfloat16), "BF16", bits=True)


def test_a_mask_of_any_type():
    kept = np.array([[True, False], [False, True]])
    for given in (kept, kept.astype(int), kept.astype(np.float32)):
        same_mask(given, kept)
    with pytest.raises(TypeError, match="dropout_mask is None"):
        mask("dropout_mask", None)


def test_a_mask_of_torch():
    torch = pytest.importorskip("torch")
    kept = torch.tensor([[True, False], [False, True]])
    # A factor of either sign: -0 drops too.
    signed = torch.tensor([[1.0, -0.0], [0.0, -2.0]])
    for given in (kept, signed.bfloat16(), signed.requires_grad_()):
        same_mask(given, kept.numpy())


def test_dlpack():
    class Exporter:
        def __dlpack__(self, **options):
            return VALUES.__dlpack__(**options)

        def __dlpack_device__(self):
            return VALUES.__dlpack_device__()

    same(Exporter(), "F64")


def test_a_scalar_and_an_empty_array_keep_their_shape():
    assert named("y", np.float32(1))[1].shape == ()
    assert named("y", np.zeros((0, 3)))[1].shape == (0, 3)
