"""snapupctl: what an operator asks from outside."""

import json
import subprocess

import pytest

from snapup import BUILD, OPERATOR_KEY, STOREFRONT_KEY, clean_env, free_port, wait_until


def ctl(shop, *args, key=None, url=None):
    """Exit code, stdout, stderr."""
    env = {**clean_env(), "SNAPUPCTL_URL": url or f"http://{shop.address}"}
    if key:
        env["SNAPUPCTL_KEY"] = key
    done = subprocess.run([BUILD / "snapupctl", *args], env=env, capture_output=True, text=True,
                          check=False, timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def levels(text):
    return {check["name"]: check["level"] for check in json.loads(text)["checks"]}


def test_doctor_of_a_healthy_service(shop):
    code, out, err = ctl(shop, "doctor")
    assert (code, err) == (0, ""), out
    assert all(line.startswith("OK ") for line in out.splitlines()[:-1])
    assert out.splitlines()[-1] == "ok: 4 ok, 0 to look at, 0 failing"
    code, out, _ = ctl(shop, "doctor", "--json")
    assert (code, json.loads(out)["status"]) == (0, "ok")
    assert levels(out) == dict.fromkeys(["process", "sql", "redis", "gates"], "OK")


def test_doctor_names_weak_settings(shop):
    shop.redis("CONFIG", "SET", "appendfsync", "no")
    try:
        code, out, _ = wait_until(lambda: changed(ctl(shop, "doctor", "--json"), 0))
    finally:
        shop.redis("CONFIG", "SET", "appendfsync", "everysec")
    assert (code, json.loads(out)["status"]) == (1, "warning")
    assert levels(out)["redis_appendfsync"] == "WARN"
    detail = [c["detail"] for c in json.loads(out)["checks"] if c["level"] == "WARN"][0]
    assert "appendfsync everysec" in detail
    wait_until(lambda: ctl(shop, "doctor")[0] == 0)


def changed(answer, code):
    return answer if answer[0] != code else None


def test_doctor_of_a_service_without_redis(shop, instance, folder):
    with instance(start_it=False, redis=f"unix:{folder}/nobody.sock") as daemon:
        daemon.start(wait=False)
        daemon.wait_event("listening")
        wait_until(lambda: ctl(shop, "doctor", "--json", url=f"http://{daemon.address}")[0] == 2)
        code, out, _ = ctl(shop, "doctor", url=f"http://{daemon.address}")
        assert code == 2
        assert "FAIL  redis" in out and "OK    process" in out


def test_nobody_there(shop):
    url = f"http://127.0.0.1:{free_port()}"
    for verb in (["doctor"], ["audit", "sale_demo"]):
        code, out, err = ctl(shop, *verb, url=url, key=STOREFRONT_KEY)
        assert (code, out) == (3, "")
        assert url in err
    code, out, _ = ctl(shop, "doctor", "--json", url=url)
    assert (code, json.loads(out)["status"]) == (3, "unreachable")


def test_somebody_else_there(shop):
    code, _, err = ctl(shop, "doctor", url=shop.sandbox.url)
    assert code == 3
    assert "not like Snapup" in err


def test_a_unix_socket(shop, instance, folder):
    with instance(start_it=False) as daemon:
        daemon.settings["listen"] = f"unix:{folder}/ctl.sock"
        daemon.start(wait=False)
        daemon.wait_event("ready")
        assert ctl(shop, "doctor", "--url", daemon.settings["listen"])[0] == 0


def test_audit(shop, tmp_path):
    sale = shop.make_sale()
    shop.buy(sale).expect(201)
    code, out, err = ctl(shop, "audit", sale.id, key=STOREFRONT_KEY)
    assert (code, err) == (0, "")
    assert "OK    P1  live_within_allocated" in out
    assert out.splitlines()[-1] == f"{sale.id}: every promise is kept"
    file = tmp_path / "key"
    file.write_text(f"{OPERATOR_KEY}\n")
    code, out, _ = ctl(shop, "audit", sale.id, "--json", "--key-file", str(file), "--wait", "0")
    assert code in (0, 2)  # at once, work may be pending
    assert json.loads(out)["object"] == "audit"


def test_audit_of_a_broken_promise(shop):
    sale = shop.make_sale(stock=5)
    shop.buy(sale).expect(201)
    shop.assert_audit_ok(sale)
    where = (f"item = (SELECT no FROM items WHERE sale = (SELECT no FROM sales WHERE id = '{sale.id}'))")
    shop.sql(f"UPDATE shard_stock SET held = held + 1 WHERE {where}")
    try:
        code, out, _ = ctl(shop, "audit", sale.id, "--wait", "0", key=STOREFRONT_KEY)
        assert code == 2
        assert "FAIL  P1  ledger_counts_live_orders" in out
        assert "A PROMISE IS BROKEN" in out
    finally:
        shop.sql(f"UPDATE shard_stock SET held = held - 1 WHERE {where}")


@pytest.mark.parametrize("key,said", [(None, "SNAPUPCTL_KEY"), ("sk_nobody", "401")])
def test_audit_needs_a_key(shop, key, said):
    sale = shop.make_sale()
    code, _, err = ctl(shop, "audit", sale.id, key=key)
    assert code == 2
    assert said in err


def test_audit_of_no_sale(shop):
    code, _, err = ctl(shop, "audit", "no_such/sale", key=STOREFRONT_KEY)
    assert code == 2
    assert "404" in err or "400" in err


@pytest.mark.parametrize("args", [[], ["nonsense"], ["doctor", "more"], ["audit"], ["doctor", "--nonsense"],
                                  ["audit", "s", "--wait", "soon"], ["audit", "s", "--wait", "61"],
                                  ["audit", "s", "--key-file", "/nonexistent"], ["doctor", "--url"]])
def test_wrong_usage(shop, args):
    code, out, err = ctl(shop, *args)
    assert (code, out) == (64, "")
    assert err


def test_help(shop):
    code, out, err = ctl(shop, "--help")
    assert (code, err) == (0, "")
    assert all(word in out for word in ("doctor", "audit", "Exit codes", "--key-file"))
    assert ctl(shop, "--version")[1].startswith("snapupctl ")
