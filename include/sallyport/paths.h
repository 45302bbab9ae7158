/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where things are unless the configuration says otherwise. */
#ifndef SALLYPORT_PATHS_H
#define SALLYPORT_PATHS_H

#define SP_RUN_DIR "/run/sallyport"
#define SP_CONTROL_SOCKET SP_RUN_DIR "/control.sock"
#define SP_CONFIG_FILE "/etc/sallyport/sallyportd.conf"
#define SP_STORE_FILE "/var/lib/sallyport/sallyport.db"
#define SP_BPFFS "/sys/fs/bpf"
/* Below the bpffs: <SP_PIN_DIR>/v<SP_ABI_VERSION>/{maps,links,progs}/... */
#define SP_PIN_DIR "sallyport"

/* libvirt, and what its processes must be able to read: on its host. */
#define SP_VIRT_URI "qemu:///system"
#define SP_IMAGE_DIR "/var/lib/libvirt/images/sallyport"
#ifndef SP_LIB_DIR
#define SP_LIB_DIR "/usr/local/lib/sallyport"
#endif
#define SP_PROBE_KERNEL SP_LIB_DIR "/probe-kernel"

/* Override for hooks and the command: the control socket's path. */
#define SP_ENV_SOCKET "SALLYPORT_SOCKET"

#endif
