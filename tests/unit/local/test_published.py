from arenalab.api.common.v1 import answer_pb2
from arenalab.local.cli.data import describe_weights

FIXED = answer_pb2.FactorWeights(domain=0.3, emotion=0.1, stakes=0.15, actions=0.25, semantic=0.2)
LEARNED = answer_pb2.FactorWeights(domain=0.25, semantic=0.75)


def test_the_context_weights_in_use_come_first_beside_the_others() -> None:
    weights = answer_pb2.ContextWeights(
        fixed=FIXED, learned=LEARNED, fixed_auc=0.8, learned_auc=0.9, questions=1200
    )
    told = describe_weights(weights)
    assert told.startswith("context weights: fixed domain 0.30")
    assert "not in use: learned domain 0.25" in told
    assert "1,200 held-out questions: fixed 0.800, learned 0.900" in told
    weights.uses_learned = True
    assert describe_weights(weights).startswith("context weights: learned domain 0.25")


def test_a_dataset_that_teaches_no_weights_says_so() -> None:
    told = describe_weights(answer_pb2.ContextWeights(fixed=FIXED))
    assert "too little to learn" in told
