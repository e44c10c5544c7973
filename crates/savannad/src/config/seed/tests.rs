use super::*;

const NOTHING: Environment<'_> = &|name| (name == "HOME").then(|| "/home/somebody".to_owned());

fn read(text: &str) -> anyhow::Result<SeedConfig> {
    let config = SeedConfig::read(text, Path::new("seed.toml"), &SeederArgs::default(), NOTHING)?;
    config.check()?;
    Ok(config)
}

const BOTH: &str = "
dns = [\"192.0.2.1\", \"[2001:db8::1]:5353\"]
rate = 70
[[zone]]
name = \"seed.example.org\"
ns = [\"a.seed.example.org=192.0.2.1\", \"a.seed.example.org=2001:db8::1\", \"ns.example.net\"]
contact = \"hostmaster@example.org\"
service_names = [\"x1\", \"xd\"]
[[zone]]
network = \"testnet\"
name = \"testseed.example.org\"
ns = [\"ns.example.net\"]
contact = \"hostmaster@example.org\"
listen = [\"0.0.0.0\"]
floor = 170150
floor_by = \"somebody\"
";

#[test]
fn every_setting_is_printed_and_read_again() {
    let config = read(BOTH).unwrap();
    assert_eq!(config.dns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1:53", "[2001:db8::1]:5353"]);
    let [main, test] = &config.zones[..] else { panic!("{config:?}") };
    assert_eq!((main.network, test.network), (Network::Mainnet, Network::Testnet));
    assert_eq!(main.ns.len(), 2);
    assert_eq!(main.ns[0].addresses.len(), 2);
    assert_eq!(main.service_names, [Services(1), Services(0xd)]);
    assert_eq!(test.listen[0].port(), 18233);
    let text = config.to_toml();
    assert_eq!(read(&text).unwrap(), config, "{text}");
    for key in KEYS.iter().map(|key| key.name).chain(ZONE_KEYS.iter().map(|key| key.name)) {
        assert_eq!(
            text.lines().filter(|line| line.starts_with(&format!("{key} = "))).count() % 2,
            usize::from(KEYS.iter().any(|known| known.name == key)),
            "{key}"
        );
    }
}

#[test]
fn without_a_file_it_listens_on_mainnet_and_its_settings_can_be_read_again() {
    let config = SeedConfig::load(&SeederArgs::default(), NOTHING).unwrap();
    assert_eq!(config.zones.len(), 1);
    assert_eq!(config.zones[0].listen[0].port(), 8233);
    assert_eq!(config.dir, Path::new("/home/somebody/.local/share/savanna/seeder"));
    assert_eq!(read(&config.to_toml()).unwrap(), config);
}

#[test]
fn flags_stand_above_the_environment_and_that_above_the_file() {
    let environment: Environment<'_> = &|name| match name {
        "HOME" => Some("/h".to_owned()),
        "SAVANNA_SEED_RATE" => Some("9".to_owned()),
        "SAVANNA_SEED_CONTACT" => Some("env@example.org".to_owned()),
        "SAVANNA_LOG" => Some("debug".to_owned()),
        // A node's, on the same machine.
        "SAVANNA_DIR" => Some("/node".to_owned()),
        _ => None,
    };
    let text = "rate = 7\nburst = 8\n[[zone]]\nnetwork = \"regtest\"\ncontact = \"file@example.org\"";
    let args = SeederArgs {
        zone: Some("seed.example.org".to_owned()),
        ns: vec!["ns.example.net".to_owned()],
        dns: vec!["127.0.0.1:5353".to_owned()],
        ..SeederArgs::default()
    };
    let config = SeedConfig::read(text, Path::new("f"), &args, environment).unwrap();
    config.check().unwrap();
    assert_eq!((config.rate, config.burst, config.log.as_str()), (9, 8, "debug"));
    assert_eq!(config.dir, Path::new("/h/.local/share/savanna/seeder"));
    let zone = &config.zones[0];
    assert_eq!((zone.contact.as_str(), zone.name.as_str()), ("env@example.org", "seed.example.org"));
    let several = SeedConfig::read(BOTH, Path::new("f"), &args, NOTHING).unwrap_err().to_string();
    assert!(several.contains("--zone is about one network, and the file has 2"), "{several}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let zone = "dns = [\"192.0.2.1\"]\n[[zone]]\nname = \"seed.example.org\"\n";
    let named = "ns = [\"ns.example.net\"]\ncontact = \"hostmaster@example.org\"\n";
    for (text, told) in [
        ("rate = \"x\"".to_owned(), "seed.toml, line 1: rate: it is to be a number"),
        ("\nfoo = 1".to_owned(), "seed.toml, line 2: foo: there is no such key"),
        ("contact = \"a@b.c\"".to_owned(), "line 1: contact: it stands in a [[zone]]"),
        ("[[zone]]\nrate = 1".to_owned(), "line 2: rate: it stands before every [[zone]]"),
        ("zone = 3".to_owned(), "line 1: write [[zone]]"),
        ("[zone]\nname = \"a.b\"".to_owned(), "line 1: write [[zone]]"),
        ("log = \"info,hickory_server=debug\"".to_owned(), "log: it is to be"),
        (
            "[[zone]]\nname = \"seed.example.org\"".to_owned() + "\nns = [\"n.e.x\"]\ncontact = \"a@b.c\"",
            "answered nowhere",
        ),
        ("dns = [\"192.0.2.1\"]".to_owned(), "no name to answer"),
        ("[[zone]]\nlisten = []".to_owned(), "nobody could ask this seeder"),
        ("share = \"user=nobody\"\nshare_name = \"a\"".to_owned(), "share, share_name: "),
        ("share = \"host=10.0.0.1\"".to_owned(), "share, share_name: "),
        (zone.to_owned(), "whom is one to write to"),
        (zone.to_owned() + "contact = \"a@b.c\"", "a name server at least"),
        (zone.to_owned() + "ns = [\"ns.example.net\"]\ncontact = \"nobody\"", "is no contact"),
        (zone.to_owned() + "ns = [\"ns.seed.example.org\"]\ncontact = \"a@b.c\"", "if, and only if"),
        (zone.to_owned() + named + "ttl = 59", "it is to be a number of seconds from 60 to 3600"),
        (zone.to_owned() + named + "service_names = [\"y1\"]", "it is to be a list of names"),
        (zone.to_owned() + named + "floor = 170140", "say on whose"),
        (zone.to_owned() + named + "[[zone]]\n", "mainnet is there twice"),
        ("[[zone]]\ncontact = \"a@b.c\"".to_owned(), "a zone needs its name"),
        ("[[zone]\n".to_owned(), "seed.toml, line 1:"),
    ] {
        let error = format!("{:#}", read(&text).unwrap_err());
        assert!(error.contains(told), "{text}\n{error}");
    }
}
