# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent says of a step's result can be read by everybody who reads the log."""

from __future__ import annotations

import json

from node_world import World

from metalwright.store.events import as_dict


def test_a_result_that_is_no_json_does_not_get_into_the_log(world: World) -> None:
    world.start(world.machine(), "release")
    token = world.token()
    world.hello(token)
    body = rb'{"step": "scripts", "status": "finished", "result": {"rate": 1e999, "model": "a\ud800b\u0000c", "count": 3}}'
    assert world.client.post(f"/agent/{token}/step", data=body).status_code == 200
    (event,) = world.events("agent.step")
    assert json.dumps(as_dict(event), ensure_ascii=False, allow_nan=False).encode()
    result = event.data["result"]
    assert (result["model"], result["count"], result.get("rate")) == ("abc", 3, None)
