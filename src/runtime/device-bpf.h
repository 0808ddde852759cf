/* SPDX-License-Identifier: Apache-2.0 */
/* device-bpf.h - linux.resources.devices on cgroup v2: an eBPF program on the container's cgroup.
 *
 * Source: kernel cgroup-v2.rst "Device controller", bpf(2). The program walks the rules from the
 * last to the first; the first that matches decides, and without a match the answer is no. */
#ifndef TARE_RUNTIME_DEVICE_BPF_H
#define TARE_RUNTIME_DEVICE_BPF_H

#include <linux/bpf.h>
#include <stddef.h>

#include "base/err.h"
#include "oci/runtime-spec.h"

/* The program, freed by the caller. Pure. */
size_t device_bpf_compile(const OciResources *r, struct bpf_insn **ret);
/* Loads it, and puts it in the place of the one that an earlier call attached, which its name
 * tells; programs of others stay. */
int device_bpf_attach(int cgroup_dir_fd, const OciResources *r, Err *err);

#endif
