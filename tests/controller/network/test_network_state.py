# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engines are told of the network, as it is read from the database."""

from __future__ import annotations

from datetime import UTC, datetime

from metalwright.config import Dns, Settings
from metalwright.network import domains, model, state
from metalwright.store import Store
from metalwright.store.models import (
    DhcpOption,
    Domain,
    Interface,
    IpRange,
    Machine,
    Record,
    Reservation,
    Resolver,
    Subnet,
    Vlan,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DNS = Dns(domain="site.internal", forwarders=["192.0.2.53"])


def card(number: int, **more: object) -> Interface:
    return Interface(mac=f"52:54:00:00:00:{number:02x}", boot=True, **more)


def test_an_empty_network_has_the_default_domain(store: Store, settings: Settings) -> None:
    settings = settings.model_copy(update={"dns": DNS})
    with store.write() as session:
        session.delete(session.query(Domain).one())
        session.flush()
        found = state.read(session, settings)
    expected = model.NetworkState(
        domains=(model.Domain("site.internal"),),
        default_domain="site.internal",
        resolver=model.Resolver(forwarders=("192.0.2.53",)),
    )
    assert found == expected


def test_subnets_of_both_families(store: Store, settings: Settings) -> None:
    with store.write() as session:
        lab = Subnet(
            name="lab",
            cidr="10.0.0.0/24",
            gateway="10.0.0.254",
            dns_servers=["10.0.0.1"],
            ntp_servers=["10.0.0.2"],
            search=["example.com"],
            domain="lab.example",
            relays=["10.9.9.1"],
            vlan=Vlan(name="blue", vid=7, mtu=9000),
        )
        bounds = (
            ("dynamic", "10.0.0.200", "10.0.0.209"),
            ("static", "10.0.0.10", "10.0.0.19"),
            ("dynamic", "10.0.0.40", "10.0.0.49"),
        )
        lab.ranges = [IpRange(kind=kind, start=start, end=end) for kind, start, end in bounds]
        session.add_all([lab, Subnet(name="six", cidr="2001:db8::/64", dhcp=False)])
        session.flush()
        session.add_all(
            [
                DhcpOption(subnet_id=lab.id, family=4, code=code, value=value)
                for code, value in ((150, "10.0.0.3"), (7, "10.0.0.4"))
            ]
        )
        identifier = lab.id
    with store.session() as session:
        found = state.read(session, settings)
    assert [network.family for network in found.networks] == [4, 6]
    assert found.networks[0] == model.Network(
        identifier,
        "lab",
        "10.0.0.0/24",
        "10.0.0.254",
        ("10.0.0.1",),
        ("10.0.0.2",),
        ("example.com",),
        "lab.example",
        dynamic=(("10.0.0.40", "10.0.0.49"), ("10.0.0.200", "10.0.0.209")),
        relays=("10.9.9.1",),
        mtu=9000,
        options=(model.Option(4, 7, "10.0.0.4"), model.Option(4, 150, "10.0.0.3")),
    )


def test_whose_names_and_addresses_there_are(store: Store, settings: Settings) -> None:
    with store.write() as session:
        lab = Subnet(name="lab", cidr="10.0.0.0/24", domain="lab.example")
        db = Machine(name="db", interfaces=[Interface(mac="52:54:00:00:00:99", address="10.0.0.77", subnet=lab, position=1)])
        db.interfaces.append(card(3, address="10.0.0.12", subnet=lab))
        session.add_all(
            [
                Machine(name="web", hostname="shop", interfaces=[card(1, address="10.0.0.10", subnet=lab)]),
                Machine(name="api", hostname="web", interfaces=[card(2, address="10.0.0.11", subnet=lab)]),
                db,
                Machine(name="addressless", interfaces=[card(4, subnet=lab)]),
                # its name is borrowed by web while that is deployed
                Machine(name="shop", interfaces=[card(5, address="10.0.0.88", subnet=lab)]),
            ]
        )
        session.flush()
        kept = Reservation(mac="52:54:00:aa:00:01", address="10.0.0.90", subnet=lab, name="printer")
        session.add_all(
            [
                kept,
                Reservation(mac="52:54:00:aa:00:02", address="10.0.0.91", subnet=lab, name="door", domain="doors.example"),
                Reservation(mac="52:54:00:00:00:01", address="10.0.0.10", subnet=lab, name="the-card-of-web"),
            ]
        )
        session.flush()
        session.add(DhcpOption(machine_id=db.id, family=4, code=17, value="/srv"))
        session.add(DhcpOption(reservation_id=kept.id, family=4, code=7, value="10.0.0.4"))
        network = lab.id
    with store.session() as session:
        found = state.read(session, settings)
    assert {(host.address, host.name, host.domain) for host in found.hosts} == {
        ("10.0.0.10", "shop", "lab.example"),
        ("10.0.0.11", "web", "lab.example"),
        ("10.0.0.12", "db", "lab.example"),
        ("10.0.0.77", None, "lab.example"),
        ("10.0.0.88", None, "lab.example"),
        ("10.0.0.90", "printer", "lab.example"),
        ("10.0.0.91", "door", "doors.example"),
    }
    assert {host.network for host in found.hosts} == {network}
    options = {host.address: host.options for host in found.hosts if host.options}
    root, log = (model.Option(4, 17, "/srv"),), (model.Option(4, 7, "10.0.0.4"),)
    assert options == {"10.0.0.12": root, "10.0.0.77": root, "10.0.0.90": log}


def test_domains_records_and_the_resolver(store: Store, settings: Settings) -> None:
    with store.write() as session:
        session.delete(session.query(Domain).one())
        session.flush()
        domains.keep_default(session, "site.internal", NOW)
        lab = Domain(name="lab.example", ttl=60)
        rows = (("www", "CNAME", "web.lab.example"), ("@", "TXT", 'say "hi" \\ ' + "x" * 250), ("@", "MX", "10 mail.lab.example"))
        session.add_all([Record(name=name, type=kind, data=data, domain=lab) for name, kind, data in rows])
        session.add(Domain(name="corp.example", forward_to=["192.0.2.1"]))
        session.add(Resolver(id=1, forwarders=[], recurse_from=["10.0.0.0/8"], ttl=30))
    with store.session() as session:
        found = state.read(session, settings.model_copy(update={"dns": DNS}))
    text = '"say \\"hi\\" \\\\ ' + "x" * 244 + '" "xxxxxx"'
    assert found.domains == (
        model.Domain("corp.example", ("192.0.2.1",)),
        model.Domain(
            "lab.example",
            (),
            60,
            (
                model.Record("@", "MX", "10 mail.lab.example"),
                model.Record("@", "TXT", text),
                model.Record("www", "CNAME", "web.lab.example"),
            ),
        ),
        model.Domain("site.internal"),
    )
    assert found.resolver == model.Resolver((), (), ("10.0.0.0/8",), 30)
