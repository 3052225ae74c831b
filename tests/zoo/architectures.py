"""Small models of many architectures of `transformers`, built from configurations alone.

ARCHITECTURES maps a name to a function that builds a pair: the model, in evaluation mode, with
weights drawn from seed 0, and keyword-argument inputs it accepts. Nothing is downloaded, and
`transformers` is imported only when a model is built. REFUSED maps the names that
`torch.export.export` turns down to the first line of its error.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

Builder = Callable[[], tuple[nn.Module, dict[str, Any]]]
BATCH, LENGTH, VOCAB, LABELS = 2, 7, 60, 5


def _tokens(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.randint(5, VOCAB, (BATCH, LENGTH)) for name in names or ("input_ids",)}


def _pixels(size: int = 32) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(BATCH, 3, size, size)}


def _build(
    class_name: str, inputs: Callable[[], dict[str, Any]], settings: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    import transformers

    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    model = model_class(model_class.config_class(**settings)).eval()
    return model, inputs()


def _text(class_name: str, **settings: Any) -> Builder:
    common = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 32,
        "pad_token_id": 0,
    }
    return partial(_build, class_name, _tokens, common | settings)


def _decoder(class_name: str, **settings: Any) -> Builder:
    common = {"use_cache": False, "bos_token_id": 1, "eos_token_id": 2}
    return _text(class_name, **common | settings)


def _grouped(class_name: str, **settings: Any) -> Builder:
    return _decoder(class_name, **{"num_key_value_heads": 2} | settings)


def _gpt(class_name: str, **settings: Any) -> Builder:
    common = {
        "vocab_size": VOCAB,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 32,
        "use_cache": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return partial(_build, class_name, _tokens, common | settings)


def _both_tokens() -> dict[str, torch.Tensor]:
    return _tokens("input_ids", "decoder_input_ids")


def _t5(class_name: str, **settings: Any) -> Builder:
    common = {
        "vocab_size": VOCAB,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "use_cache": False,
        "decoder_start_token_id": 0,
    }
    return partial(_build, class_name, _both_tokens, common | settings)


def _seq2seq(
    class_name: str, inputs: Callable[[], dict[str, Any]] = _both_tokens, **settings: Any
) -> Builder:
    common = {
        "vocab_size": VOCAB,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 32,
        "use_cache": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": 2,
    }
    return partial(_build, class_name, inputs, common | settings)


def _vit(class_name: str, **settings: Any) -> Builder:
    common = {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "num_labels": LABELS,
    }
    return partial(_build, class_name, _pixels, common | settings)


def _image(class_name: str, size: int = 32, **settings: Any) -> Builder:
    return partial(_build, class_name, partial(_pixels, size), {"num_labels": LABELS} | settings)


def _speech(class_name: str, **settings: Any) -> Builder:
    common = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "conv_dim": (16, 16, 16),
        "conv_stride": (5, 4, 4),
        "conv_kernel": (10, 4, 4),
        "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "mask_time_prob": 0.0,
        "pad_token_id": 0,
    }
    return partial(
        _build,
        class_name,
        lambda: {"input_values": torch.randn(BATCH, 800)},
        common | settings,
    )


def _whisper_inputs() -> dict[str, torch.Tensor]:
    return {"input_features": torch.randn(BATCH, 8, 16)} | _tokens("decoder_input_ids")


def _image_and_text() -> dict[str, torch.Tensor]:
    return _pixels() | _tokens()


def _two_towers(class_name: str, **text: Any) -> Builder:
    tower = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    settings = {
        "text_config": tower | {"vocab_size": VOCAB, "max_position_embeddings": 16} | ends | text,
        "vision_config": tower | {"image_size": 32, "patch_size": 8},
        "projection_dim": 16,
    }
    return partial(_build, class_name, _image_and_text, settings)


_STAGES = {"hidden_sizes": [16, 32], "depths": [1, 1]}
_SWIN = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [2, 1],
    "num_heads": [2, 4],
    "window_size": 4,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}

ARCHITECTURES: dict[str, Builder] = {
    # Images: convolutions.
    "ResNet": _image(
        "ResNetForImageClassification",
        embedding_size=16,
        hidden_sizes=[16, 32],
        depths=[2, 2],
        layer_type="basic",
    ),
    "ResNet, bottleneck": _image(
        "ResNetForImageClassification", embedding_size=16, layer_type="bottleneck", **_STAGES
    ),
    "RegNet": _image("RegNetForImageClassification", embedding_size=16, groups_width=8, **_STAGES),
    "ConvNext": _image("ConvNextForImageClassification", num_stages=2, **_STAGES),
    "ConvNextV2": _image("ConvNextV2ForImageClassification", num_stages=2, **_STAGES),
    "MobileNetV1": _image("MobileNetV1ForImageClassification", depth_multiplier=0.25),
    "MobileNetV2": _image("MobileNetV2ForImageClassification", depth_multiplier=0.25),
    "EfficientNet": _image(
        "EfficientNetForImageClassification",
        image_size=32,
        in_channels=[32, 64],
        out_channels=[64, 96],
        kernel_sizes=[3, 3],
        strides=[1, 2],
        num_block_repeats=[1, 2],
        expand_ratios=[1, 4],
        depthwise_padding=[],
        hidden_dim=320,
        width_coefficient=0.25,
        depth_coefficient=1.0,
    ),
    "BiT": _image("BitForImageClassification", embedding_size=16, num_groups=4, **_STAGES),
    "PoolFormer": _image(
        "PoolFormerForImageClassification",
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
    ),
    # Images: attention.
    "ViT": _vit("ViTForImageClassification"),
    "DeiT": _vit("DeiTForImageClassification"),
    "BEiT": _vit("BeitForImageClassification", use_relative_position_bias=True),
    "Dinov2": _vit("Dinov2ForImageClassification", mlp_ratio=2),
    "ViT-MSN": _vit("ViTMSNForImageClassification"),
    "YOLOS": _vit("YolosForObjectDetection", image_size=[32, 32], num_detection_tokens=4),
    "Swin": _image("SwinForImageClassification", **_SWIN),
    "SwinV2": _image("Swinv2ForImageClassification", **_SWIN),
    "FocalNet": _image(
        "FocalNetForImageClassification",
        image_size=32,
        embed_dim=16,
        depths=[1, 1],
        focal_levels=[2, 2],
        focal_windows=[3, 3],
    ),
    "Segformer": _image(
        "SegformerForImageClassification",
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[16, 32],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[2, 4],
        mlp_ratios=[2, 2],
    ),
    "PVT": _image(
        "PvtForImageClassification",
        image_size=32,
        num_encoder_blocks=2,
        depths=[1, 1],
        sequence_reduction_ratios=[2, 1],
        hidden_sizes=[16, 32],
        patch_sizes=[4, 2],
        strides=[4, 2],
        num_attention_heads=[2, 4],
        mlp_ratios=[2, 2],
    ),
    "LeViT": _image(
        "LevitForImageClassification",
        size=64,
        image_size=64,
        hidden_sizes=[32, 48, 64],
        num_attention_heads=[2, 4, 4],
        depths=[1, 1, 1],
        key_dim=[8, 8, 8],
        down_ops=[["Subsample", 8, 4, 2, 2, 2], ["Subsample", 8, 6, 2, 2, 2]],
    ),
    "MobileViT": _image(
        "MobileViTForImageClassification",
        size=64,
        image_size=64,
        hidden_sizes=[16, 24, 32],
        neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32],
        num_attention_heads=2,
        expand_ratio=2.0,
    ),
    "CvT": _image(
        "CvtForImageClassification",
        patch_sizes=[7, 3],
        patch_stride=[4, 2],
        patch_padding=[2, 1],
        embed_dim=[16, 32],
        num_heads=[2, 4],
        depth=[1, 2],
        mlp_ratio=[2.0, 2.0],
        attention_drop_rate=[0.0, 0.0],
        drop_rate=[0.0, 0.0],
        drop_path_rate=[0.0, 0.0],
        qkv_bias=[True, True],
        cls_token=[False, True],
        qkv_projection_method=["dw_bn", "dw_bn"],
        kernel_qkv=[3, 3],
        padding_kv=[1, 1],
        stride_kv=[2, 2],
        padding_q=[1, 1],
        stride_q=[1, 1],
    ),
    # Text: encoders.
    "BERT": _text("BertForMaskedLM"),
    "RoBERTa": _text("RobertaForMaskedLM"),
    "XLM-RoBERTa": _text("XLMRobertaForMaskedLM"),
    "DistilBERT": _text("DistilBertForMaskedLM", dim=32, n_layers=2, n_heads=4, hidden_dim=64),
    "Electra": _text("ElectraForMaskedLM", embedding_size=16),
    "ALBERT": _text("AlbertForMaskedLM", embedding_size=16),
    "DeBERTa-v2": _text(
        "DebertaV2ForMaskedLM",
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
    ),
    "MPNet": _text("MPNetForMaskedLM"),
    "MobileBERT": _text(
        "MobileBertForMaskedLM",
        embedding_size=16,
        intra_bottleneck_size=16,
        true_hidden_size=16,
        num_feedforward_networks=2,
    ),
    "FNet": _text("FNetForMaskedLM"),
    "SqueezeBERT": _text("SqueezeBertForMaskedLM", embedding_size=32),
    "ModernBERT": _text(
        "ModernBertForMaskedLM",
        local_attention=8,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    ),
    "Perceiver": _text(
        "PerceiverForMaskedLM",
        d_model=32,
        d_latents=48,
        num_latents=6,
        num_blocks=1,
        num_self_attends_per_block=2,
        num_self_attention_heads=4,
        num_cross_attention_heads=4,
        qk_channels=32,
        v_channels=48,
        max_position_embeddings=LENGTH,
    ),
    # Text: decoders.
    "GPT-2": _gpt("GPT2LMHeadModel"),
    "GPT-J": _gpt("GPTJForCausalLM", rotary_dim=4),
    "CodeGen": _gpt("CodeGenForCausalLM", rotary_dim=4),
    "GPTNeo": _decoder(
        "GPTNeoForCausalLM",
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=4,
    ),
    "GPTNeoX": _decoder("GPTNeoXForCausalLM"),
    "GPTBigCode": _gpt("GPTBigCodeForCausalLM", n_inner=64),
    "OPT": _decoder("OPTForCausalLM", ffn_dim=64, word_embed_proj_dim=32),
    "BLOOM": _decoder("BloomForCausalLM", n_layer=2, n_head=4),
    "MPT": _decoder("MptForCausalLM", d_model=32, n_heads=4, n_layers=2, max_seq_len=32),
    "Falcon": _decoder("FalconForCausalLM"),
    "Phi": _decoder("PhiForCausalLM"),
    "Phi3": _grouped("Phi3ForCausalLM"),
    "Llama": _grouped("LlamaForCausalLM"),
    "Mistral": _grouped("MistralForCausalLM", sliding_window=4),
    "Qwen2": _grouped("Qwen2ForCausalLM"),
    "Qwen3": _grouped("Qwen3ForCausalLM", head_dim=8),
    "Gemma": _grouped("GemmaForCausalLM", head_dim=8),
    "Gemma2": _grouped("Gemma2ForCausalLM", head_dim=8, sliding_window=4),
    "Gemma3": _grouped("Gemma3ForCausalLM", head_dim=8, sliding_window=4),
    "StableLM": _grouped("StableLmForCausalLM"),
    "Starcoder2": _grouped("Starcoder2ForCausalLM"),
    "Cohere": _grouped("CohereForCausalLM"),
    "OLMo": _grouped("OlmoForCausalLM"),
    "OLMo2": _grouped("Olmo2ForCausalLM"),
    "Granite": _grouped("GraniteForCausalLM"),
    "SmolLM3": _grouped("SmolLM3ForCausalLM"),
    "Mixtral": _grouped("MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2),
    "Qwen3-MoE": _grouped("Qwen3MoeForCausalLM", head_dim=8, num_experts=4, **_EXPERTS),
    # Text: recurrences.
    "Mamba": _decoder("MambaForCausalLM", state_size=8, time_step_rank=4, conv_kernel=4),
    "Mamba2": _decoder(
        "Mamba2ForCausalLM", state_size=8, num_heads=4, head_dim=16, n_groups=2, chunk_size=4
    ),
    "RWKV": _decoder("RwkvForCausalLM", attention_hidden_size=32, context_length=16),
    # Encoders with decoders.
    "T5": _t5("T5ForConditionalGeneration"),
    "T5, gated": _t5(
        "T5ForConditionalGeneration", feed_forward_proj="gated-gelu", tie_word_embeddings=False
    ),
    "BART": _seq2seq("BartForConditionalGeneration"),
    "mBART": _seq2seq("MBartForConditionalGeneration"),
    "Pegasus": _seq2seq("PegasusForConditionalGeneration"),
    "Marian": _seq2seq("MarianMTModel", decoder_vocab_size=VOCAB),
    # Sound.
    "Whisper": _seq2seq(
        "WhisperForConditionalGeneration",
        _whisper_inputs,
        num_mel_bins=8,
        max_source_positions=8,
        max_target_positions=16,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    ),
    "Wav2Vec2": _speech("Wav2Vec2ForCTC"),
    "HuBERT": _speech("HubertForCTC"),
    # Images with text.
    "CLIP": _two_towers("CLIPModel"),
    "SigLIP": _two_towers("SiglipModel", projection_size=32),
}

REFUSED: dict[str, str] = {}
