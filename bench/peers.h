/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses do the frames of the bench have? Shared by both sides. */
#ifndef SALLYPORT_BENCH_PEERS_H
#define SALLYPORT_BENCH_PEERS_H

struct bench_addresses {
	unsigned char dst[6];
	unsigned char src[6];
};

/* The I-th address: 02:be and the index. */
static inline __attribute__((always_inline)) void bench_mac(unsigned char *mac, unsigned int i)
{
	mac[0] = 0x02;
	mac[1] = 0xbe;
	mac[2] = (unsigned char)(i >> 24);
	mac[3] = (unsigned char)(i >> 16);
	mac[4] = (unsigned char)(i >> 8);
	mac[5] = (unsigned char)i;
}

#endif
