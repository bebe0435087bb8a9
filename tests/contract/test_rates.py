"""Rates of a whole server: a source that is away, another one, and what is left of the choice after a restart."""

import json

NOWHERE = "http://127.0.0.1:1"  # nobody listens there


def test_a_source_that_is_away_leaves_rates_empty_and_another_fills_them(servers, tmp_path):
    urls = tmp_path / "urls.json"
    urls.write_text(json.dumps({"gate_io": {"api": {"public": {"spot": NOWHERE}}}, "coin_gecko": {"api": NOWHERE}}))
    server = servers(VENUE_URLS=str(urls))
    with server.client() as client:
        for source in ("gate_io", "coin_gecko"):
            config = {"rate_oracle_source": {"name": source}}
            client.put("/rate-oracle/config", json=config).raise_for_status()
            answer = client.get("/rate-oracle/rate/BTC-USDT").raise_for_status().json()
            assert (answer["source"], answer["rate"], answer["age_seconds"]) == (source, None, None)
            assert f"{source} could not be reached" in answer["problem"]
            assert client.get("/rate-oracle/prices").raise_for_status().json()["prices"] == {}
        client.put("/rate-oracle/config", json={"rate_oracle_source": {"name": "paper"}}).raise_for_status()
        answer = client.post("/rate-oracle/rates", json={"trading_pairs": ["BTC-USDT", "ETH-BTC", "X-Y"]}).json()
        assert (answer["source"], answer["problem"]) == ("paper", None)
        rates = answer["rates"]
        assert rates["X-Y"] is None
        assert rates["ETH-BTC"] < 1 < rates["BTC-USDT"]
    server.stop()
    server.start()
    with server.client() as client:
        assert client.get("/rate-oracle/config").json()["rate_oracle_source"] == {"name": "paper"}
        told = client.get("/audit/events", params={"stream": "rates"}).raise_for_status().json()["data"]
        assert sorted(event["data"]["source"] for event in told) == ["coin_gecko", "paper"]
