"""What is exported, served by ourselves (`tools/serve.py --models`): the answers of calling the models directly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from avsc_tf.service.models import ModelHost
from avsc_tf.service.settings import ModelSettings


@pytest.mark.slow
def test_predictions_are_the_direct_calls(joint: Any, make_clips: Any, make_batch: Any) -> None:
    """To the bit: features and pictures of two utterances, and their speech by a seed."""
    batch = make_batch(make_clips(joint.bundle, [3, 5]))
    speech = {"mel": batch["mel"], "lengths": batch["lengths"], "seed": np.array([3, 4], np.int32)}
    silent = {**batch, "mel": np.zeros((2, 0, 80), np.float32)}
    with ModelHost(joint.out, ModelSettings()) as host:
        assert {version.name for version in host.versions} == {"conversion", "image", "wavenet", "end_to_end"}
        for model, inputs in (("end_to_end", batch), ("conversion", silent), ("wavenet", speech)):
            body = json.dumps({"inputs": {name: array.tolist() for name, array in inputs.items()}})
            answer = asyncio.run(host.predict(host.find(model)[0], body))
            assert answer.status_code == 200, answer.body
            outputs = json.loads(answer.body)["outputs"]
            direct = joint.signature(model)(**inputs)
            found = outputs if len(direct) > 1 else {next(iter(direct)): outputs}
            assert found.keys() == direct.keys()
            for name, array in direct.items():
                np.testing.assert_array_equal(np.array(found[name], array.dtype), array, err_msg=name, strict=True)
