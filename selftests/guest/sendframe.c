/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends any frame on a device of the guest: what an honest stack would not.
 *   sendframe DEVICE HEX [COUNT [GAP-US]]
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_MAX 9000

static int usage(const char *what, const char *value)
{
	fprintf(stderr, "sendframe: %s '%s'\nusage: sendframe DEVICE HEX [COUNT [GAP-US]]\n", what,
		value);
	return 2;
}

/* Bytes of FRAME, or 0. */
static size_t unhex(const char *text, unsigned char frame[FRAME_MAX])
{
	size_t n = strlen(text) / 2;

	if (strlen(text) % 2 || n < 14 || n > FRAME_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1], 0};
		char *end;

		frame[i] = (unsigned char)strtoul(digits, &end, 16);
		if (*end)
			return 0;
	}
	return n;
}

int main(int argc, char **argv)
{
	unsigned char frame[FRAME_MAX];
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	long count = argc > 3 ? strtol(argv[3], NULL, 10) : 1;
	unsigned int gap = argc > 4 ? (unsigned int)strtoul(argv[4], NULL, 10) : 0;
	size_t n;
	int fd;

	if (argc < 3)
		return usage("two arguments are needed, not", argc > 1 ? argv[1] : "");
	n = unhex(argv[2], frame);
	if (n == 0)
		return usage("not a frame in hex digits, of 14 bytes or more:", argv[2]);
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (to.sll_ifindex == 0 || fd < 0)
		return usage("no such device:", argv[1]);
	for (long i = 0; i < count; i++) {
		if (sendto(fd, frame, n, 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
			perror("sendframe: sendto");
			return 1;
		}
		if (gap)
			usleep(gap);
	}
	printf("sent %ld\n", count);
	return 0;
}
