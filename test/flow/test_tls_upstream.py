# SPDX-License-Identifier: BSD-2-Clause
"""TLS towards a group's servers: whom we trust, what we show, what is said when it fails; and
TLS that is passed through by name, unread."""

import re
import ssl
import threading

from bascule_flow import WAIT, Daemon, answer, ask, check, equal, get, main, once, test
from certs import Certificates
from peers import Backend, TlsOrigin
from secure import TlsClient, TlsStream, handshake, trusting

CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { certificates = "@PEM@/front.pem"; }; },
    { name = "port"; mode = "port"; listen = "127.0.0.1:0"; group = "plain";
      tls = { certificates = "@PEM@/front.pem"; }; }
);
groups = ( @GROUPS@
    { name = "plain"; endpoints = [ "127.0.0.1:@ECHO@" ]; },
    { name = "behind"; endpoints = [ "127.0.0.1:@BEHIND@" ]; }
);
sites = ( @SITES@
    { name = "through"; hosts = [ "through.test", "*.through.test" ]; pass_through = "behind"; },
    { name = "front"; default = true; group = "good"; }
);
"""


class Certain(TlsOrigin):
    """A TLS origin that says whether a session was resumed, and whose certificate it saw."""

    def __init__(self, certificate, **options):
        self.resumed = []
        super().__init__(certificate, self.tell, **options)

    def tell(self, _request, link):
        peer = link.sock.getpeercert() if self.context.verify_mode else None
        subject = dict(pair for part in peer["subject"] for pair in part) if peer else {}
        self.resumed.append(link.sock.session_reused)
        return answer(subject.get("commonName", "nobody").encode())


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.authority("strangers")
    made.authority("middle", "root")
    made.issue("front", "root", ["DNS:front.test"])
    made.issue("good", "root", ["IP:127.0.0.1", "DNS:app.test"])
    made.issue("chain", "middle", ["IP:127.0.0.1"], chain=["middle"])
    made.issue("gap", "middle", ["IP:127.0.0.1"])
    made.issue("else", "root", ["DNS:else.test"])
    made.issue("old", "root", ["IP:127.0.0.1"], days=-1)
    made.issue("strange", "strangers", ["IP:127.0.0.1"])
    made.issue("weak", "root", ["IP:127.0.0.1"], key="rsa1024")
    made.key("self")
    made.openssl("req", "-x509", "-new", "-key", "self.key", "-out", "self.pem", "-days", "2",
                 "-subj", "/CN=self", "-addext", "subjectAltName=IP:127.0.0.1")
    made.write("self.pem", made.read("self.pem") + made.read("self.key"))
    made.client("proxy")
    return made


def server(name):
    return once(lambda: Certain(certificates().path(f"{name}.pem")))


SERVERS = {name: server(name)
           for name in ("good", "chain", "gap", "else", "old", "strange", "self")}


@once
def picky():
    """Wants a certificate of its clients."""
    made = Certain(certificates().path("good.pem"), newest=ssl.TLSVersion.TLSv1_2)
    made.context.verify_mode = ssl.CERT_REQUIRED
    made.context.load_verify_locations(certificates().path("clients.pem"))
    return made


@once
def behind():
    return Certain(certificates().path("else.pem"))


@once
def echo():
    return Backend()


def group(name, port, tls):
    return (f'{{ name = "{name}"; max_fails = 0; max_idle = 0; endpoints = [ "127.0.0.1:{port}" ]; '
            f'tls = {tls}; }},\n')


@once
def proxy():
    ca = f'ca = "{certificates().path("root.pem")}"'
    own = f'chain = "{certificates().path("proxy.pem")}"'
    groups = {name: group(name, make().port, f"{{ {ca}; }}") for name, make in SERVERS.items()}
    port = SERVERS["good"]().port
    groups.update({
        "named": group("named", port, f'{{ {ca}; name = "app.test"; }}'),
        "misnamed": group("misnamed", port, f'{{ {ca}; name = "wrong.test"; }}'),
        "system": group("system", port, "true"),
        "careless": group("careless", SERVERS["self"]().port, "{ verify = false; }"),
        "shown": group("shown", picky().port, f"{{ {ca}; {own}; }}"),
        "unshown": group("unshown", picky().port, f"{{ {ca}; }}"),
    })
    sites = "".join(f'{{ name = "{name}"; hosts = [ "{name}.test" ]; group = "{name}"; }},\n'
                    for name in groups)
    return Daemon(CONF.replace("@GROUPS@", "".join(groups.values())).replace("@SITES@", sites),
                  PEM=certificates().dir, ECHO=echo().port, BEHIND=behind().port)


def go(name, target="/"):
    return ask(proxy().address("web"), get(target, host=f"{name}.test"))


# ---- whom to trust


@test("a server with a good certificate is asked, with a chain or a name of its own, too")
def _():
    for name in ("good", "chain", "named"):
        equal(go(name).status, 200, f"status of {name}")
    equal(SERVERS["good"]().server_names[-1], "app.test", "SNI of the one with a name")


@test("others are refused before anything is sent, and it is said why")
def _():
    for name, words in (("else", "another address"), ("old", "expired"),
                        ("strange", "another authority"), ("self", "authority: its own"),
                        ("gap", "chain has a gap"), ("misnamed", "another name"),
                        ("system", "another authority")):
        target = f"/{name}"
        found = go(name, target)
        equal(found.status, 502, f"status of {name}")
        said = found.get("Proxy-Status")
        check("error=tls_certificate_error" in said, f"Proxy-Status of {name}: {said}")
        record = proxy().wait_record(target)
        check(re.search(words, f"{said} {record}", re.I), f"{name}: {said}, {record}")
    for name in ("else", "old", "strange", "self", "gap"):
        equal(SERVERS[name]().heads, [], f"requests at {name}")


@test("whom we need not trust is asked")
def _():
    equal(go("careless").status, 200, "status")


@test("our certificate is shown to servers that ask for one")
def _():
    equal(go("shown").body, b"proxy", "whom the server saw")
    found = go("unshown")
    equal(found.status, 502, "status without one")
    check("tls" in found.get("Proxy-Status"), found.get("Proxy-Status"))


@test("sessions are resumed, a new connection costs no full handshake")
def _():
    SERVERS["good"]().resumed.clear()
    for _ in range(5):
        equal(go("good").status, 200, "status")
    equal(SERVERS["good"]().resumed[1:], [True] * 4, "resumed")


@test("bridging: TLS from the client, other TLS to the server")
def _():
    context = trusting(certificates().path("root.pem"))
    with TlsClient(proxy().address("tls"), context, "front.test") as c:
        equal(c.ask(get("/bridge", host="front.test")).status, 200, "status")
    SERVERS["good"]().wait_request("/bridge")


@test("a server that does not speak TLS, hangs up, or says nothing is 502 or 504")
def _():
    conf = """
        workers = 1;
        listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
        groups = ( { name = "odd"; max_fails = 0; tries = 1; tls = true;
                     endpoints = [ "127.0.0.1:@ODD@" ]; timeouts = { connect = "1h"; }; },
                   { name = "hasty"; max_fails = 0; tries = 1; tls = true;
                     endpoints = [ "127.0.0.1:@ODD@" ]; timeouts = { connect = "200ms"; }; } );
        sites = ( { name = "odd"; hosts = "502.test"; group = "odd"; },
                  { name = "hasty"; hosts = "504.test"; group = "hasty"; } );
        """
    odd = Backend()
    try:
        with Daemon(conf, ODD=odd.port) as daemon:
            for act, status in ((lambda s: s.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 502),
                                (lambda s: s.close(), 502), (lambda s: s.reset(), 502),
                                (lambda s: None, 504)):
                found = []
                request = get(host=f"{status}.test")
                thread = threading.Thread(target=lambda found=found, request=request: found.append(
                    ask(daemon.address("web"), request)))
                thread.start()
                with odd.accept() as link:
                    link.fill()
                    act(link)
                    thread.join(WAIT)
                equal(found and found[0].status, status, "status")
                check("error=" in found[0].get("Proxy-Status"), found[0].get("Proxy-Status"))
    finally:
        odd.close()


# ---- passed through, and ports


@test("TLS for some names is passed on unread, and answered by who is behind")
def _():
    context = trusting(certificates().path("root.pem"))
    for name in ("through.test", "x.through.test"):
        with handshake(proxy().address("tls"), trusting(), name) as sock:
            names = [value for _, value in trusted(sock)]
            equal(names, ["else.test"], f"certificate for {name}")
    with TlsClient(proxy().address("tls"), context, "front.test") as c:
        equal(c.ask(get("/", host="front.test")).status, 200, "status of another name")
    equal(behind().server_names[-1], "x.through.test", "SNI behind")


def trusted(sock):
    """The names in the certificate that the server showed."""
    made = certificates()
    path = made.write("shown.pem", ssl.DER_cert_to_PEM_cert(sock.getpeercert(True)))
    return ssl._ssl._test_decode_cert(path).get("subjectAltName", ())


@test("a port forwarder may end TLS")
def _():
    with TlsStream(handshake(proxy().address("port"), trusting(certificates().path("root.pem")),
                             "front.test")) as c:
        with echo().accept() as link:
            c.send(b"hello")
            equal(link.exactly(5), b"hello", "behind")
            link.send(b"yourself")
            equal(c.exactly(8), b"yourself", "in front")
            link.close()
            check(c.has_ended() and not c.was_cut, "the end is not said in TLS")


main()
