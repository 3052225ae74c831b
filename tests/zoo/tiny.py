"""The smallest transformers of every family: a thousand weights, all of them at generic values.

TINY maps a name to a function that builds a pair: the model, in evaluation mode and float64, and
keyword-argument inputs on which it gives more numbers than it has parameters, as the audit wants
them. The architectures are those of `zoo.architectures`, made smaller, and more families.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from zoo import architectures
from zoo.architectures import ARCHITECTURES, Builder

WIDTH, HEADS, LENGTH, WORDS, LABELS, SPARE = 8, 2, 8, 16, 16, 5.0
MANY = 28  # words
IMAGE, PATCH = 8, 4

# What stands in configurations for the same thing, and how much of it there is.
SIZES: list[tuple[int, list[str]]] = [
    (WIDTH, ["hidden_size", "d_model", "n_embd", "dim", "word_embed_proj_dim", "embedding_size",
            "attention_hidden_size", "projection_size"]),
    (HEADS, ["num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads",
            "decoder_attention_heads"]),
    (WORDS, ["vocab_size", "decoder_vocab_size"]),
    (LENGTH, ["max_position_embeddings", "n_positions", "max_seq_len", "max_target_positions",
             "max_source_positions", "context_length"]),
    (1, ["num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers",
        "decoder_layers", "num_key_value_heads"]),
    (4, ["intermediate_size", "ffn_dim", "n_inner", "d_ff", "hidden_dim", "encoder_ffn_dim",
         "decoder_ffn_dim", "ffn_hidden_size"]),
    (WIDTH // HEADS, ["head_dim", "d_kv"]),
    (2, ["rotary_dim"]),
    (4, ["sliding_window", "moe_intermediate_size", "num_mel_bins", "state_size"]),
    (IMAGE, ["image_size"]),
    (PATCH, ["patch_size"]),
    (LABELS, ["num_labels"]),
]  # fmt: skip
SIZE_OF = {name: size for size, names in SIZES for name in names}
KEYS = ("logits", "image_embeds")  # the output that counts
Inputs = Callable[[int], dict[str, torch.Tensor]]


def _words(*names: str, words: int = WORDS) -> Inputs:
    return lambda count: {n: torch.randint(0, words, (count, LENGTH)) for n in names}


def _pixels(count: int) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(count, 1, IMAGE, IMAGE)}


def _sound(count: int) -> dict[str, torch.Tensor]:
    features = torch.randn(count, SIZE_OF["num_mel_bins"], 2 * LENGTH)
    return {"input_features": features} | _words("decoder_input_ids")(count)


def shrunk(settings: dict[str, Any]) -> dict[str, Any]:
    """A configuration with everything in it made small."""
    return {
        name: shrunk(value) if isinstance(value, dict) else SIZE_OF.get(name, value)
        for name, value in settings.items()
    } | {f"{kind}_token_id": None for kind in ("pad",) if f"{kind}_token_id" in settings}


def generic(model: nn.Module) -> nn.Module:
    """Draws every parameter: matrices of unit gain, everything else far from one and zero.

    Norms get an eps that shows: with one of 1e-12 the scale before a norm is a symmetry up to 1e-12.
    """
    for module in model.modules():
        for name in ("eps", "variance_epsilon"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.01)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_().mul_((parameter.shape[0] / parameter.numel()) ** 0.5)
            else:
                parameter.add_(0.4 * torch.randn_like(parameter))
    return model


def _build(class_name: str, inputs: Inputs, settings: dict[str, Any]) -> tuple[nn.Module, Any]:
    import transformers

    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    model = generic(model_class(model_class.config_class(**settings)).eval())
    size = sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        first = model(**inputs(2))
    key = next(name for name in KEYS if name in first)
    each = first[key].numel() / 2
    spare = SPARE if settings.get("vocab_size", WORDS) <= WORDS else 2 * SPARE
    return model, inputs(1 + int(spare * size / each)), key


def _smaller(builder: Builder, inputs: Inputs, **settings: Any) -> Builder:
    """Another architecture of the zoo, made small."""
    class_name, _, common = builder.args  # type: ignore[attr-defined]
    return partial(_build, class_name, inputs, shrunk(common) | settings)


def _like(names: str, inputs: Inputs, **settings: Any) -> dict[str, Builder]:
    return {name: _smaller(ARCHITECTURES[name], inputs, **settings) for name in names.split(", ")}


def _decoder(class_name: str, **settings: Any) -> Builder:
    return _smaller(architectures._grouped(class_name), _words("input_ids"), **settings)


def _vision(class_name: str, **settings: Any) -> Builder:
    return _smaller(architectures._vit(class_name), _pixels, **settings)


# Behind a single layer a class token has asked one and the same question of every image.
_IMAGES = {"num_channels": 1, "num_hidden_layers": 2}
_MANY = _words("input_ids", words=MANY)
_TEXT, _PAIR = _words("input_ids"), _words("input_ids", "decoder_input_ids")
_BUCKETS = {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 8}
_EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}
_LATENT = {
    "num_key_value_heads": 2, "q_lora_rank": 4, "kv_lora_rank": 4, "qk_rope_head_dim": 2, "head_dim": 2,
    "qk_nope_head_dim": 4, "v_head_dim": 4, "n_routed_experts": 2, "num_experts_per_tok": 1,
    "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 4,
    "first_k_dense_replace": 0,
}  # fmt: skip

TINY: dict[str, Builder] = {
    # Decoders.
    **_like(
        "Llama, Mistral, Qwen2, Qwen3, Gemma, Gemma2, Gemma3, Phi3, OLMo, OLMo2, Granite, SmolLM3, "
        "Starcoder2, GPTBigCode, OPT, BLOOM",
        _TEXT,
    ),
    "StableLM": _smaller(ARCHITECTURES["StableLM"], _TEXT, partial_rotary_factor=0.5),
    "GPT-2": _smaller(ARCHITECTURES["GPT-2"], _TEXT, n_inner=4),
    # Where attention and feed-forward stand side by side, the latter sees words only.
    **_like("Cohere, Phi, GPTNeoX", _MANY, vocab_size=MANY),
    **_like("GPT-J, CodeGen", _MANY, vocab_size=MANY, n_inner=4),
    "GPTNeo": _smaller(ARCHITECTURES["GPTNeo"], _TEXT, attention_types=[[["global"], 1]]),
    "Falcon": _smaller(ARCHITECTURES["Falcon"], _TEXT, ffn_hidden_size=4),
    "MPT": _smaller(ARCHITECTURES["MPT"], _TEXT, expansion_ratio=1),
    "GLM": _decoder("GlmForCausalLM", head_dim=4, pad_token_id=None),
    "Nemotron": _decoder("NemotronForCausalLM"),
    "Persimmon": _decoder("PersimmonForCausalLM"),
    "Cohere2": _smaller(architectures._grouped("Cohere2ForCausalLM"), _MANY, vocab_size=MANY),
    # Decoders with experts.
    "Mixtral": _smaller(
        ARCHITECTURES["Mixtral"],
        _TEXT,
        num_local_experts=2,
        num_experts_per_tok=1,
        intermediate_size=4,
    ),
    "Qwen2-MoE": _decoder(
        "Qwen2MoeForCausalLM",
        moe_intermediate_size=4,
        shared_expert_intermediate_size=4,
        **_EXPERTS,
    ),
    "Qwen3-MoE": _smaller(ARCHITECTURES["Qwen3-MoE"], _TEXT, **_EXPERTS),
    "OLMoE": _decoder("OlmoeForCausalLM", **_EXPERTS),
    "DeepSeek-V2": _decoder("DeepseekV2ForCausalLM", **_LATENT),
    "DeepSeek-V3": _decoder("DeepseekV3ForCausalLM", **_LATENT),
    # Recurrences.
    "Mamba": _smaller(ARCHITECTURES["Mamba"], _TEXT, time_step_rank=2),
    "Mamba2": _smaller(ARCHITECTURES["Mamba2"], _TEXT, head_dim=8, n_groups=1),
    "RWKV": _smaller(ARCHITECTURES["RWKV"], _TEXT, num_hidden_layers=2),
    # Encoders.
    **_like("BERT, ALBERT, DistilBERT, FNet, ModernBERT", _TEXT),
    "MPNet": _smaller(ARCHITECTURES["MPNet"], _TEXT, max_position_embeddings=LENGTH + 2),
    "RoBERTa": _smaller(
        ARCHITECTURES["RoBERTa"], _TEXT, pad_token_id=0, max_position_embeddings=LENGTH + 1
    ),
    "ELECTRA": _smaller(ARCHITECTURES["Electra"], _TEXT, embedding_size=6),
    "DeBERTa": _smaller(
        architectures._text(
            "DebertaForMaskedLM",
            relative_attention=True,
            pos_att_type=["p2c", "c2p"],
            max_relative_positions=4,
        ),
        _TEXT,
    ),
    "DeBERTa-v2": _smaller(ARCHITECTURES["DeBERTa-v2"], _TEXT),
    # Encoders with decoders.
    "T5": _smaller(ARCHITECTURES["T5"], _PAIR, **_BUCKETS),
    "mT5": _smaller(architectures._t5("MT5ForConditionalGeneration"), _PAIR, **_BUCKETS),
    **_like("BART, mBART, Pegasus, Marian", _PAIR),
    "Whisper": _smaller(ARCHITECTURES["Whisper"], _sound),
    # Images.
    **_like("ViT, DeiT, BEiT, Dinov2", _pixels, **_IMAGES),
    "CLIP": _vision("CLIPVisionModelWithProjection", projection_dim=16, **_IMAGES),
}
