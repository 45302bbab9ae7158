# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Debian 12's own kernel, for guests: fetched by apt, extracted, never installed. To be sourced.
# $kernel: the directory that keeps it, below the build directory; set by the caller.
: "${kernel:?}"

kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/.*Depends: \(linux-image-6\.1[^ ]*\).*/\1/p' | head -n 1
}

kernel_download() {
	rm -f "$kernel"/*.deb
	(cd "$kernel" && apt-get download -q "$1") >>"$kernel/download.log" 2>&1
}

# Fetched once. Sets $version; the package is then below $kernel/root. Two at a time wait.
get_kernel() {
	mkdir -p "$kernel"
	exec {kernel_lock}>"$kernel/lock"
	flock "$kernel_lock"
	kernel_fetch
	local status=$?
	exec {kernel_lock}>&-
	return $status
}

kernel_fetch() {
	local package
	: >"$kernel/download.log"
	package=$(kernel_package)
	if [ -z "$package" ]; then # no package lists yet
		apt-get update -q >>"$kernel/download.log" 2>&1
		package=$(kernel_package)
		[ -n "$package" ] || return 1
	fi
	if [ ! -e "$kernel/$package.done" ]; then
		rm -rf "$kernel/root" "$kernel"/*.done
		# Old lists name packages that the archive no longer has.
		kernel_download "$package" || { apt-get update -q >>"$kernel/download.log" 2>&1 &&
			package=$(kernel_package) && kernel_download "$package"; } || return 1
		dpkg-deb -x "$kernel"/*.deb "$kernel/root" || return 1
		depmod -b "$kernel/root" "$(basename "$kernel"/root/lib/modules/*)" &&
			touch "$kernel/$package.done" || return 1
	fi
	version=$(basename "$kernel"/root/lib/modules/*)
}

# copy_modules ROOT MODULE...: they and what they need, and mod/list in the order of loading.
copy_modules() {
	local m list root=$1
	shift
	for m; do
		list=$(modprobe -d "$kernel/root" -S "$version" --show-depends "$m") || return 1
		sed -n 's/^insmod \([^ ]*\).*/\1/p' <<<"$list"
	done | awk '!seen[$0]++' >"$root.modules"
	mkdir -p "$root/mod" && xargs -r -a "$root.modules" cp -t "$root/mod" &&
		sed 's|.*/||' "$root.modules" >"$root/mod/list"
}

# new_root ROOT INIT: an empty root with busybox and INIT.
new_root() {
	rm -rf "$1"
	mkdir -p "$1"/{bin,dev,proc,sys,run,tmp,mod,etc,var/lib,var/log}
	cp /bin/busybox "$1/bin/busybox" && ln -s busybox "$1/bin/sh" && cp "$2" "$1/init"
}

# pack ROOT FILE: as an initrd, without compression: to unpack it costs a guest more than to load it.
pack() { (cd "$1" && find . | cpio -o -H newc --quiet) >"$2"; }

# ELF of the compressed kernel FILE, to stdout. Where its payload is: the kernel's
# Documentation/x86/boot.rst, setup_sects (0x1f1), payload_offset (0x248), payload_length (0x24c).
unpack_kernel() {
	local sects start length magic
	sects=$(od -An -tu1 -j $((0x1f1)) -N1 "$1") &&
		start=$(od -An -tu4 -j $((0x248)) -N4 "$1") &&
		length=$(od -An -tu4 -j $((0x24c)) -N4 "$1") || return 1
	start=$(((sects + 1) * 512 + start))
	magic=$(od -An -tx1 -j $start -N4 "$1" | tr -d ' ')
	# The last four bytes are the unpacked size.
	head -c $((start + length - 4)) "$1" | tail -c +$((start + 1)) | case $magic in
	02214c18) lz4 -dcq ;;
	fd377a58) xz -dc ;;
	28b52ffd) zstd -dcq ;;
	1f8b*) gzip -dc ;;
	*) echo "$1: compression $magic is not known" >&2; false ;;
	esac
}
