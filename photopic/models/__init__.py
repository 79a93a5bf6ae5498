"""Networks: photopic's own fast ones, pretrained backbones, timm's architectures."""
