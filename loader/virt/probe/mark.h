/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the probe kernel writes to its serial port when it has got where a kernel must get. */
#ifndef SALLYPORT_LOADER_VIRT_PROBE_MARK_H
#define SALLYPORT_LOADER_VIRT_PROBE_MARK_H

#define PROBE_MARK "sallyport-long-mode\n"

#endif
