"""Our samplers in the loops of KerasHub and of Hugging Face transformers."""
