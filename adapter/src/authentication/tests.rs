use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn client(authority: &Authority, name: &str, groups: &[&str]) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key");
    params.signed_by(&key, authority).expect("a certificate").der().clone()
}

struct World {
    proxy: Authority,
    clients: Authority,
    trust: Trust,
}

fn world() -> World {
    let (proxy, clients) = (authority("front-proxy-ca"), authority("cluster-ca"));
    let data = [
        ("requestheader-client-ca-file", proxy.pem()),
        ("client-ca-file", clients.pem()),
        ("requestheader-allowed-names", r#"["front-proxy"]"#.to_owned()),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#.to_owned()),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#.to_owned()),
        ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#.to_owned()),
    ];
    let data = data.map(|(key, value)| (key.to_owned(), value)).into();
    let trust = Trust::from_config_map(&data).expect("a usable ConfigMap");
    World { proxy, clients, trust }
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        })
        .collect()
}

fn authenticate(
    trust: &Trust,
    chain: &[CertificateDer<'_>],
    headers: &HeaderMap,
    now: UnixTime,
) -> Result<Option<User>, AuthenticationError> {
    Identity::of(chain, trust, now).user(trust, headers)
}

/// Inside the validity of rcgen's default certificates.
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

#[test]
fn the_front_proxy_tells_the_user() {
    let world = world();
    let chain = [client(&world.proxy, "front-proxy", &[])];
    let headers = headers(&[
        ("x-remote-user", ""),
        ("x-remote-user", "jane"),
        ("x-remote-group", "dev"),
        ("x-remote-group", "ops"),
        ("x-remote-extra-scopes", "a"),
        ("x-remote-extra-scopes", "b"),
        ("x-remote-extra-example.org%2fid", "7"),
    ]);
    let user = authenticate(&world.trust, &chain, &headers, now()).expect("believed").expect("somebody");
    assert_eq!(user.name, "jane");
    assert_eq!(user.groups, ["dev", "ops", AUTHENTICATED]);
    let extra = [("scopes", vec!["a", "b"]), ("example.org/id", vec!["7"])];
    assert_eq!(
        user.extra,
        extra.map(|(key, values)| (key.to_owned(), values.into_iter().map(str::to_owned).collect())).into()
    );
}

#[test]
fn an_anonymous_user_of_the_front_proxy_stays_anonymous() {
    let world = world();
    let chain = [client(&world.proxy, "front-proxy", &[])];
    let headers = headers(&[("x-remote-user", ANONYMOUS), ("x-remote-group", UNAUTHENTICATED)]);
    let user = authenticate(&world.trust, &chain, &headers, now()).expect("believed");
    assert_eq!(user, Some(User::anonymous()));
}

#[test]
fn a_client_certificate_speaks_for_itself_whatever_the_headers_say() {
    let world = world();
    let chain = [client(&world.clients, "joe", &["dev"])];
    let headers = headers(&[("x-remote-user", "admin"), ("x-remote-group", "system:masters")]);
    let user = authenticate(&world.trust, &chain, &headers, now()).expect("believed").expect("somebody");
    assert_eq!(
        (user.name.as_str(), user.groups.as_slice()),
        ("joe", &["dev".to_owned(), AUTHENTICATED.to_owned()][..])
    );
}

struct Case<'a> {
    name: &'a str,
    certificate: CertificateDer<'static>,
    headers: &'a HeaderMap,
    now: UnixTime,
    says: &'a str,
}

#[test]
fn what_is_not_proved_is_not_believed() {
    let world = world();
    let named = headers(&[("x-remote-user", "admin")]);
    let stranger = authority("cluster-ca");
    let nothing = HeaderMap::new();
    let late = UnixTime::since_unix_epoch(Duration::from_secs(99_999_999_999));
    for case in [
        Case {
            name: "a name that is not allowed",
            certificate: client(&world.proxy, "somebody", &[]),
            headers: &named,
            now: now(),
            says: "common name \"somebody\" is not among the allowed names",
        },
        Case {
            name: "a foreign authority of the same name",
            certificate: client(&stranger, "front-proxy", &[]),
            headers: &named,
            now: now(),
            says: "client certificate: ",
        },
        Case {
            name: "a front proxy that names nobody",
            certificate: client(&world.proxy, "front-proxy", &[]),
            headers: &nothing,
            now: now(),
            says: "no user name in the headers",
        },
        Case {
            name: "an expired certificate",
            certificate: client(&world.clients, "joe", &[]),
            headers: &nothing,
            now: late,
            says: "xpired",
        },
        Case {
            name: "a certificate without a name",
            certificate: client(&world.clients, "", &[]),
            headers: &nothing,
            now: now(),
            says: "no common name",
        },
        Case {
            name: "bytes that are no certificate",
            certificate: CertificateDer::from(vec![1, 2, 3]),
            headers: &named,
            now: now(),
            says: "unreadable",
        },
    ] {
        let error =
            authenticate(&world.trust, &[case.certificate], case.headers, case.now).expect_err(case.name);
        assert!(error.to_string().contains(case.says), "{}: {error}", case.name);
    }
    assert_eq!(authenticate(&world.trust, &[], &named, now()), Ok(None), "headers alone are nothing");
}

#[test]
fn an_unusable_config_map_says_which_key() {
    for (key, value) in [
        ("client-ca-file", "no pem"),
        ("requestheader-client-ca-file", ""),
        ("client-ca-file", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
    ] {
        let data = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let error = Trust::from_config_map(&data).expect_err(value);
        assert!(error.to_string().starts_with(key), "{error}");
    }
    let mut data = BTreeMap::from([("requestheader-client-ca-file".to_owned(), authority("x").pem())]);
    data.insert("requestheader-allowed-names".to_owned(), "front-proxy".to_owned());
    assert!(Trust::from_config_map(&data).expect_err("no JSON").to_string().contains("no JSON array"));
}
