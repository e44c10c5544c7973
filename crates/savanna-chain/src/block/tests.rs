use super::*;

#[test]
fn heights_are_pushed_in_the_shortest_way() {
    let cases: [(u32, &[u8]); 12] = [
        (1, &[0x51]),
        (16, &[0x60]),
        (17, &[1, 17]),
        (127, &[1, 127]),
        (128, &[2, 128, 0]),
        (255, &[2, 255, 0]),
        (256, &[2, 0, 1]),
        (32_767, &[2, 0xff, 0x7f]),
        (32_768, &[3, 0, 0x80, 0]),
        (3_543_405, &[3, 0x6d, 0x11, 0x36]),
        (0x0080_0000, &[4, 0, 0, 0x80, 0]),
        (u32::MAX, &[5, 0xff, 0xff, 0xff, 0xff, 0]),
    ];
    for (height, script) in cases {
        assert!(begins_with_height(script, height), "{height}");
        assert!(begins_with_height(&[script, &[0, 7]].concat(), height), "{height}");
        assert!(!begins_with_height(&script[..script.len() - 1], height), "{height}");
        assert!(!begins_with_height(script, height ^ 1), "{height}");
    }
    assert!(!begins_with_height(&[1, 5], 5), "an opcode of its own is shorter");
    assert!(!begins_with_height(&[2, 17, 0], 17), "a byte too many");
    assert!(!begins_with_height(&[], 17));
}
