//! What the lines do to what is sent: bare bytes, without sessions.

use bytes::Bytes;

use super::*;

/// Keeps what it gets and when, and reads only while it is awake.
#[derive(Debug, Default)]
struct Sink {
    connection: Option<ConnectionId>,
    got: Vec<(Duration, usize)>,
    had_room: Vec<Duration>,
    closed: Option<Duration>,
}

impl Node for Sink {
    fn on_connected(&mut self, connection: Connection, _: &mut Host<'_>) {
        self.connection = Some(connection.id);
    }

    fn on_bytes(&mut self, _: ConnectionId, bytes: Bytes, host: &mut Host<'_>) {
        self.got.push((host.now().monotonic, bytes.len()));
    }

    fn on_writable(&mut self, _: ConnectionId, host: &mut Host<'_>) {
        self.had_room.push(host.now().monotonic);
    }

    fn on_closed(&mut self, _: ConnectionId, host: &mut Host<'_>) {
        self.closed = Some(host.now().monotonic);
    }
}

/// Two hosts that are connected, after ten seconds.
fn pair(seed: u64, conditions: Conditions) -> (Network<Sink>, HostId, HostId) {
    let mut network = Network::new(seed, conditions);
    let [one, two] = [1, 2].map(|group| network.add(ipv6(group, 1), Sink::default()));
    network.with(one, |_, host| host.dial(ipv6(2, 1)));
    network.run_for(secs(10));
    (network, one, two)
}

fn send(network: &mut Network<Sink>, from: HostId, bytes: usize) {
    network.with(from, |node, host| host.send(node.connection.unwrap(), vec![0; bytes].into()));
}

fn arrivals(network: &Network<Sink>, at: HostId) -> Vec<Duration> {
    network.node(at).got.iter().map(|(at, _)| *at).collect()
}

#[test]
fn a_narrow_line_carries_so_many_bytes_a_second() {
    let (mut network, one, two) = pair(1, Conditions { bandwidth: Some(1000), ..Conditions::LOCAL });
    (0..3).for_each(|_| send(&mut network, one, 500));
    network.run_for(secs(5));
    assert_eq!(arrivals(&network, two), [ms(10_501), ms(11_001), ms(11_501)]);
}

#[test]
fn jitter_and_loss_delay_and_never_reorder() {
    let conditions = Conditions { loss: 0.2, jitter: ms(5), ..Conditions::LOCAL };
    let (mut network, one, two) = pair(3, conditions);
    for number in 1..=500 {
        send(&mut network, one, number);
        network.run_for(ms(20));
    }
    network.run_for(secs(60));
    let got = &network.node(two).got;
    assert!(got.iter().map(|(_, bytes)| *bytes).eq(1..=500), "lost or out of order");
    let sent = |number: usize| secs(10) + ms(20) * u32::try_from(number).unwrap();
    let late = got.iter().enumerate().filter(|(number, (at, _))| *at > sent(*number) + ms(200)).count();
    // A lost segment takes with it those sent in the 200 ms until it is sent again.
    assert!((100..450).contains(&late), "{late} of 500 were late");
}

#[test]
fn a_partition_holds_back_what_is_on_its_way_and_healing_lets_it_through() {
    let (mut network, one, two) = pair(1, Conditions::LOCAL);
    network.partition(|host| u32::from(host == two));
    send(&mut network, one, 1);
    network.run_for(secs(60));
    send(&mut network, one, 2);
    network.with(one, |_, host| host.dial(ipv6(2, 1)));
    network.run_for(secs(30));
    assert_eq!(network.node(two).got, []);
    network.heal();
    network.run_for(secs(91));
    let got: Vec<_> = network.node(two).got.iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(got, [1, 2]);
    assert_eq!(network.node(two).closed, None);
}

#[test]
fn what_cannot_get_through_for_long_is_given_up() {
    let (mut network, one, two) = pair(1, Conditions::LOCAL);
    network.partition(|host| u32::from(host == two));
    send(&mut network, one, 1);
    network.run_for(secs(930));
    assert_eq!(network.node(one).closed, Some(ms(10_001) + secs(924)));
    assert_eq!(network.node(two).closed, None, "who sends nothing notices nothing");

    // The other end hears of it as soon as it is heard again.
    network.heal();
    send(&mut network, two, 1);
    network.run_for(secs(1));
    assert_eq!(network.node(two).closed, Some(ms(940_001)));
}

#[test]
fn a_reader_that_pauses_fills_the_pipe_and_the_writer_hears_when_it_has_room() {
    let (mut network, one, two) = pair(1, Conditions::LOCAL);
    let id = network.node(two).connection.unwrap();
    network.with(two, |_, host| host.pause(id, true));
    let sent = network.with(one, |node, host| {
        let (id, mut sent) = (node.connection.unwrap(), 0);
        while host.room(id) > 0 {
            host.send(id, vec![0; 1024].into());
            sent += 1;
        }
        sent
    });
    network.run_for(secs(5));
    assert_eq!((sent, network.node(two).got.len(), network.node(one).had_room.len()), (256, 0, 0));
    network.with(two, |_, host| host.pause(id, false));
    network.run_for(secs(1));
    assert_eq!((network.node(two).got.len(), &network.node(one).had_room[..]), (256, &[ms(15_001)][..]));
}

#[test]
fn closing_lets_everything_sent_before_arrive() {
    let (mut network, one, two) = pair(1, Conditions::INTERNET);
    network.with(one, |node, host| {
        let id = node.connection.unwrap();
        host.send(id, vec![0; 10].into());
        host.close(id);
        host.send(id, vec![0; 11].into());
    });
    network.run_for(secs(5));
    let node = network.node(two);
    assert_eq!((node.got.len(), node.closed.is_some(), network.node(one).closed), (1, true, None));
}
