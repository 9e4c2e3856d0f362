"""What is exported: a model with positional tensors in and tensors out, the ways people wrap one."""
import torch


class Plain(torch.nn.Module):
    """Hidden states (and the pooler's output where there is one)."""

    outputs = ["last_hidden_state"]

    def __init__(self, model, typed=True):
        super().__init__()
        self.model, self.typed = model, typed

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        more = {"token_type_ids": token_type_ids} if self.typed else {}
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **more).last_hidden_state


class SentenceTransformer(Plain):
    """As sentence-transformers exports: pooling baked in, no token types."""

    outputs = ["token_embeddings", "sentence_embedding"]

    def forward(self, input_ids, attention_mask):
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return states, torch.nn.functional.normalize(pooled, p=2, dim=1)


class Logits(Plain):
    """A classifier: nothing but logits comes out."""

    outputs = ["logits"]

    def __init__(self, model, typed=True):
        super().__init__(model, typed)
        torch.manual_seed(5)
        self.head = torch.nn.Linear(model.config.hidden_size, 3)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        return self.head(self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).pooler_output)


class Pooled(Plain):
    """Only the pooled vector comes out."""

    outputs = ["pooler_output"]

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).pooler_output
