"""From a model and a sampler to tokens: sampling, beam, contrastive and speculative search."""
