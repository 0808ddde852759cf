# SPDX-License-Identifier: Apache-2.0
"""Device programs (eBPF) on cgroups of version 2, as somebody else would attach them."""
import ctypes
import os
import platform
import struct

SYSCALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
PROG_LOAD, PROG_ATTACH, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, PROG_QUERY = 5, 8, 13, 15, 16
CGROUP_DEVICE_PROGRAM, CGROUP_DEVICE = 15, 6
ALLOW_MULTI = 2
MOVE, EXIT = 0xb7, 0x95
NAME_AT, NAME_BYTES = 64, 16  # of struct bpf_prog_info
libc = ctypes.CDLL(None, use_errno=True)


def call(command, attributes):
    """bpf(2); what it has written into the attributes is there."""
    result = libc.syscall(SYSCALL, command, attributes, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def buffer(data, size=128):
    return ctypes.create_string_buffer(data, size)


class device_program:  # pylint: disable=invalid-name
    """A program that allows all, or nothing; its descriptor."""

    def __init__(self, name, allow=True):
        code = buffer(struct.pack("=BBhiBBhi", MOVE, 0, 0, int(allow), EXIT, 0, 0, 0), 16)
        licence = buffer(b"GPL", 4)
        self.fd = call(PROG_LOAD, buffer(struct.pack(
            "=IIQQIIQII16s", CGROUP_DEVICE_PROGRAM, 2, ctypes.addressof(code),
            ctypes.addressof(licence), 0, 0, 0, 0, 0, name.encode())))

    def __enter__(self):
        return self.fd

    def __exit__(self, *_):
        os.close(self.fd)


def attach(folder, program, flags):
    call(PROG_ATTACH, buffer(struct.pack("=IIII", folder, program, CGROUP_DEVICE, flags)))


def name_of(number):
    fd = call(PROG_GET_FD_BY_ID, buffer(struct.pack("=I", number)))
    info = buffer(b"", 256)
    call(OBJ_GET_INFO_BY_FD, buffer(struct.pack("=IIQ", fd, len(info), ctypes.addressof(info))))
    os.close(fd)
    return info.raw[NAME_AT:NAME_AT + NAME_BYTES].rstrip(b"\0").decode()


def names(folder):
    """Of the programs on this cgroup itself."""
    ids = (ctypes.c_uint32 * 64)()
    query = buffer(struct.pack("=IIIIQI", folder, CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), 64))
    call(PROG_QUERY, query)
    count, = struct.unpack_from("=I", query.raw, 24)
    return [name_of(ids[i]) for i in range(count)]
