/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows of test_flow.c, each run with IPv4 and with IPv6. OPEN: a handshake from machine one,
 * whose next byte is 101, to machine two, whose next byte is 501; windows of 1000. WRONG_ROW: the
 * expectation is false.
 */
/* clang-format off */

/* --- TCP: beginnings --- */
ROW("tcp: handshake, data both ways", OPEN, OK(TCP(0, A, 101, 501, 50)), OK(TCP(1, A, 501, 151, 60)), OK(TCP(0, A, 151, 561, 0)))
ROW("tcp: no beginning, ACK", NO(FLOW_INVALID, TCP(0, A, 101, 501, 50)))
ROW("tcp: no beginning, SYN and ACK", NO(FLOW_INVALID, TCP(1, S | A, 500, 101, 0)))
ROW("tcp: no beginning, FIN", NO(FLOW_INVALID, TCP(0, F | A, 101, 501, 0)))
ROW("tcp: no beginning, RST", NO(FLOW_INVALID, TCP(0, R, 101, 0, 0)))
ROW("tcp: no flags", NO(FLOW_INVALID, TCP(0, 0, 100, 0, 0)))
ROW("tcp: SYN and FIN", NO(FLOW_INVALID, TCP(0, S | F, 100, 0, 0)))
ROW("tcp: SYN and RST", NO(FLOW_INVALID, TCP(0, S | R, 100, 0, 0)))
ROW("tcp: all flags, in a connection", OPEN, NO(FLOW_INVALID, TCP(0, 0x3f, 101, 501, 0)))
ROW("tcp: SYN again", OK(TCP(0, S, 100, 0, 0)), OK(TCP(0, S, 100, 0, 0)), OK(TCP(1, S | A, 500, 101, 0)), OK(TCP(0, A, 101, 501, 0)))
ROW("tcp: the answer again", OK(TCP(0, S, 100, 0, 0)), OK(TCP(1, S | A, 500, 101, 0)), OK(TCP(1, S | A, 500, 101, 0)), OK(TCP(0, A, 101, 501, 0)))
ROW("tcp: two SYNs cross", OK(TCP(0, S, 100, 0, 0)), OK(TCP(1, S, 500, 0, 0)), OK(TCP(0, S | A, 100, 501, 0)), OK(TCP(1, S | A, 500, 101, 0)), OK(TCP(0, A, 101, 501, 10)))
ROW("tcp: refused, and tried again", OK(TCP(0, S, 100, 0, 0)), OK(TCP(1, R | A, 0, 101, 0)), NO(FLOW_INVALID, TCP(0, A, 101, 1, 0)), OK(TCP(0, S, 900, 0, 0)))
ROW("tcp: the caller's ACK before the answer", OK(TCP(0, S, 100, 0, 0)), NO(FLOW_INVALID, TCP(0, A, 101, 501, 0)))
ROW("tcp: data before the answer", OK(TCP(0, S, 100, 0, 0)), NO(FLOW_INVALID, TCP(0, A, 101, 501, 20)))

/* --- TCP: windows --- */
ROW("tcp: as much as the window has", OPEN, OK(TCP(0, A, 101, 501, 1000)))
ROW("tcp: begins far beyond the window", OPEN, NO(FLOW_WINDOW, TCP(0, A, 101 + 5000, 501, 10)))
ROW("tcp: acknowledges what was not sent", OPEN, NO(FLOW_WINDOW, TCP(0, A, 101, 502, 0)))
ROW("tcp: an old one again", OPEN, OK(TCP(0, A, 101, 501, 50)), OK(TCP(1, A, 501, 151, 0)), OK(TCP(0, A, 101, 501, 50)))
ROW("tcp: numbers wrap", OK(TCP(0, S, 0xffffffff, 0, 0)), OK(TCP(1, S | A, 0xffffff00, 0, 0)), OK(TCP(0, A, 0, 0xffffff01, 30)), OK(TCP(1, A, 0xffffff01, 30, 300)), OK(TCP(0, A, 30, 45, 0)))
ROW("tcp: a keep-alive and its answer", OPEN, OK(TCP(0, A, 100, 501, 0)), OK(TCP(1, A, 501, 101, 0)))

/* --- TCP: resets, RFC 5961 --- */
ROW("tcp: an exact reset ends it", OPEN, OK(TCP(1, A, 501, 101, 0)), OK(TCP(0, R, 101, 0, 0)), OK(TCP(0, S, 9000, 0, 0)))
ROW("tcp: a reset before what was acknowledged", OPEN, OK(TCP(0, A, 101, 501, 50)), OK(TCP(1, A, 501, 151, 0)), NO(FLOW_INVALID, TCP(0, R, 101, 0, 0)), OK(TCP(0, A, 151, 501, 10)))
ROW("tcp: a reset beyond the window", OPEN, OK(TCP(1, A, 501, 101, 0)), NO(FLOW_WINDOW, TCP(0, R, 101 + 5000, 0, 0)), OK(TCP(0, A, 101, 501, 10)))
ROW("tcp: a reset in the window changes nothing", OPEN, OK(TCP(1, A, 501, 101, 0)), OK(TCP(0, R, 141, 0, 0)), OK(TCP(0, A, 101, 501, 10)))
ROW("tcp: SYN in a connection, and the challenge", OPEN, OK(TCP(0, S, 77777, 0, 0)), OK(TCP(1, A, 501, 101, 0)), OK(TCP(0, R, 101, 0, 0)))
ROW("tcp: the other's SYN in a connection", OPEN, NO(FLOW_INVALID, TCP(1, S, 77777, 0, 0)))

/* --- TCP: ends --- */
ROW("tcp: closed, and opened again", OPEN, OK(TCP(0, F | A, 101, 501, 0)), OK(TCP(1, A, 501, 102, 0)), OK(TCP(1, F | A, 501, 102, 0)), OK(TCP(0, A, 102, 502, 0)), OK(TCP(0, S, 5000, 0, 0)), OK(TCP(1, S | A, 6000, 5001, 0)), OK(TCP(0, A, 5001, 6001, 5)))
ROW("tcp: both close at once", OPEN, OK(TCP(0, F | A, 101, 501, 0)), OK(TCP(1, F | A, 501, 101, 0)), OK(TCP(0, A, 102, 502, 0)), OK(TCP(1, A, 502, 102, 0)))
ROW("tcp: half closed, data the other way", OPEN, OK(TCP(0, F | A, 101, 501, 0)), OK(TCP(1, A, 501, 102, 0)), OK(TCP(1, A, 501, 102, 100)), OK(TCP(0, A, 102, 601, 0)))

/* --- UDP, echo, others --- */
ROW("udp: a question and its answer", OK(UDP(0)), OK(UDP(1)), OK(UDP(0)))
ROW("icmp: echo", OK(PING(0, 8, 128)), OK(PING(1, 0, 129)), OK(PING(1, 0, 129)))
ROW("icmp: an answer to nothing", NO(FLOW_INVALID, PING(1, 0, 129)))
ROW("icmp: an answer of him who asked", OK(PING(0, 8, 128)), NO(FLOW_INVALID, PING(0, 0, 129)))
ROW("icmp: both ask", OK(PING(0, 8, 128)), OK(PING(1, 8, 128)), OK(PING(0, 0, 129)), OK(PING(1, 0, 129)))
ROW("icmp: neither asks nor answers", NO(FLOW_INVALID, PING(0, 40, 200)))
ROW("another protocol", OK(OTHER(0)), OK(OTHER(1)))
ROW("sctp, dccp, gre: no states, either side begins", OK(PROTO(1, 132)), OK(PROTO(0, 132)), OK(PROTO(1, 33)), OK(PROTO(0, 33)), OK(PROTO(1, 47)), OK(PROTO(0, 47)))
ROW("sctp: an error of it", OK(PROTO(0, 132)), OK(ERROR(1, 3, 0)))
ROW("to the own address: tcp, udp, echo, sctp", NO(FLOW_INVALID, {.how = TALK_TO_SELF, .proto = 6, .flags = S, .win = 1, .scale = TALK_NO_SCALE, .quotes = -1}), NO(FLOW_INVALID, {.how = TALK_TO_SELF, .proto = 17, .quotes = -1}), NO(FLOW_INVALID, {.how = TALK_TO_SELF, .proto = 1, .type = 8, .code = 128, .quotes = -1}), NO(FLOW_INVALID, {.how = TALK_TO_SELF, .proto = 132, .quotes = -1}))
ROW("wrong checksums: tcp, udp, echo", OK({.how = TALK_SUM_WRONG, .proto = 6, .flags = S, .win = 1, .scale = TALK_NO_SCALE, .quotes = -1}), OK({.how = TALK_SUM_WRONG, .proto = 17, .quotes = -1}), OK({.how = TALK_SUM_WRONG, .proto = 1, .type = 8, .code = 128, .quotes = -1}))

/* --- errors --- */
ROW("error: of a UDP flow", OK(UDP(0)), OK(ERROR(1, 3, 0)))
ROW("error: of a TCP flow", OK(TCP(0, S, 100, 0, 0)), OK(ERROR(1, 3, 0)))
ROW("error: time exceeded", OK(UDP(0)), OK(ERROR(1, 11, 0)))
ROW("error: to him who did not send it", OK(UDP(0)), NO(RELATED, ERROR(0, 3, 0)))
ROW("error: of a flow that is not there", NO(FLOW_INVALID, TCP(0, A, 1, 1, 0)), NO(RELATED, ERROR(1, 3, 0)))
ROW("error: of an echo", OK(PING(0, 8, 128)), OK(ERROR(1, 3, 0)))
ROW("error: of a segment that nobody sent", OPEN, NO(FLOW_WINDOW, TCP(0, A, 101 + 500000, 501, 10)), NO(RELATED, ERROR(1, 3, 3)))

/* --- fragments --- */
ROW("fragments: in their order", OK(PIECE(0, 0, 800, 0)), OK(PIECE(0, 800, 608, 1)))
ROW("fragments: three", OK(PIECE(0, 0, 400, 0)), OK(PIECE(0, 400, 400, 0)), OK(PIECE(0, 800, 608, 1)))
ROW("fragments: without the first", NO(FRAGMENT, PIECE(0, 800, 608, 1)))
ROW("fragments: one that has no others (RFC 6946)", OK(PIECE(0, 0, 1408, 1)), NO(FRAGMENT, PIECE(0, 800, 608, 1)))
ROW("fragments: the other way", OK(PIECE(0, 0, 800, 0)), NO(FRAGMENT, PIECE(1, 800, 608, 1)))
ROW("fragments: the first without its header", NO(BAD_HEADERS, {.from = 0, .proto = 6, .win = 1, .flags = S, .data = 100, .slice = 0, .slice_len = 8, .more = true, .scale = TALK_NO_SCALE, .quotes = -1}))
ROW("fragments: one that reaches into the header", OK({.from = 0, .proto = 6, .win = 1, .flags = S, .data = 100, .slice = 0, .slice_len = 64, .more = true, .scale = TALK_NO_SCALE, .quotes = -1}), NO(FRAGMENT, {.from = 0, .proto = 6, .data = 100, .slice = 16, .slice_len = 64, .scale = TALK_NO_SCALE, .quotes = -1}))
ROW("fragments: of an open flow", OK(UDP(0)), OK(PIECE(1, 0, 800, 0)), OK(PIECE(1, 800, 608, 1)))

/* --- the check itself --- */
WRONG_ROW("wrong on purpose: it passes", OPEN, OK(TCP(0, A, 101 + 5000, 501, 10)))
WRONG_ROW("wrong on purpose: it does not", NO(FLOW_INVALID, UDP(0)))
WRONG_ROW("wrong on purpose: another reason", NO(FLOW_WINDOW, TCP(0, A, 101, 501, 50)))
/* clang-format on */
