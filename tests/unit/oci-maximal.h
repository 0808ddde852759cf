/* SPDX-License-Identifier: Apache-2.0 */
/* oci-maximal.h - a config.json with every member of the specification that tare knows, each with a
 * value that is not its default. ' stands for ". Written from the specification, not from our
 * tables. */
#ifndef TARE_UNIT_OCI_MAXIMAL_H
#define TARE_UNIT_OCI_MAXIMAL_H

#define HOOK(name)                                                                                 \
        "'" name "': [{'path': '/usr/bin/" name "', 'args': ['" name "', '-v'],"                   \
        " 'env': ['A=b', 'C='], 'timeout': 5}, {'path': '/bin/true'}]"

#define MAXIMAL_PROCESS                                                                              \
        "{'terminal': true, 'consoleSize': {'height': 25, 'width': 80},"                             \
        " 'user': {'uid': 1000, 'gid': 4294967295, 'umask': 18, 'additionalGids': [5, 4294967294]}," \
        " 'args': ['sh', '', '-c', 'a \\u00e9 \\n'], 'env': ['PATH=/bin', 'X='], 'cwd': '/tmp',"     \
        " 'capabilities': {'bounding': ['CAP_CHOWN', 'CAP_NEW'], 'effective': ['CAP_KILL'],"         \
        "  'inheritable': ['CAP_SETUID'], 'permitted': ['CAP_CHOWN'], 'ambient': ['CAP_KILL']},"     \
        " 'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': 1024, 'hard': 18446744073709551615},"        \
        "             {'type': 'RLIMIT_CORE', 'soft': 0, 'hard': 0}],"                               \
        " 'noNewPrivileges': true, 'oomScoreAdj': 0, 'apparmorProfile': 'tare',"                     \
        " 'selinuxLabel': 'u:r:t:s0', 'scheduler': {'policy': 'SCHED_DEADLINE', 'nice': -20,"        \
        "  'flags': ['SCHED_FLAG_RESET_ON_FORK'], 'runtime': 1, 'deadline': 2, 'period': 3},"        \
        " 'ioPriority': {'class': 'IOPRIO_CLASS_BE', 'priority': 7},"                                \
        " 'execCPUAffinity': {'initial': '0-1', 'final': '1,3'}}"

#define RATE(name)                                                                                 \
        "'" name "': [{'major': 8, 'minor': 0, 'rate': 18446744073709551615},"                     \
        " {'major': 8, 'minor': 16, 'rate': 0}]"

#define MAXIMAL_RESOURCES                                                                                                                                                                          \
        "{'devices': [{'allow': false, 'access': 'rwm'}, {'allow': true, 'type': 'c', 'major': 0,"                                                                                                 \
        "              'minor': 3, 'access': 'r'}, {'allow': true, 'type': 'a'}],"                                                                                                                 \
        " 'memory': {'limit': 536870912, 'reservation': 1, 'swap': -1, 'kernel': 0,"                                                                                                               \
        "  'kernelTCP': 9223372036854775807, 'swappiness': 18446744073709551615,"                                                                                                                  \
        "  'disableOOMKiller': false, 'useHierarchy': true, 'checkBeforeUpdate': true},"                                                                                                           \
        " 'cpu': {'shares': 0, 'quota': -1, 'burst': 100, 'period': 100000, 'realtimeRuntime': 5,"                                                                                                 \
        "  'realtimePeriod': 6, 'idle': 0, 'cpus': '0-3,7', 'mems': '0'},"                                                                                                                         \
        " 'pids': {'limit': 0},"                                                                                                                                                                   \
        " 'blockIO': {'weight': 0, 'leafWeight': 1000,"                                                                                                                                            \
        "  'weightDevice': [{'major': 8, 'minor': 0, 'weight': 500, 'leafWeight': 10}]," RATE("throttleReadBpsDevice") "," RATE(                                                                   \
                "throttleWriteBpsDevice") "," RATE("throttleReadIOPSDevice") "," RATE("throttleWriteIOPSDevice") "},"                                                                              \
                                                                                                                 " 'hugepageLimits': [{'pageSize': '2MB', 'limit': 0},"                            \
                                                                                                                 "  {'pageSize': '1GB', 'limit': 18446744073709551615}],"                          \
                                                                                                                 " 'network': {'classID': 0, 'priorities': [{'name': 'eth0', 'priority': 0}]},"    \
                                                                                                                 " 'rdma': {'mlx5_0': {'hcaHandles': 0, 'hcaObjects': 4294967295}, 'mlx5_1': {}}," \
                                                                                                                 " 'unified': {'memory.high': '1', 'io.max': ''}}"

#define MAXIMAL_SECCOMP                                                                            \
        "{'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 0,"                                \
        " 'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'],"                                 \
        " 'flags': ['SECCOMP_FILTER_FLAG_LOG'], 'listenerPath': '/run/agent.sock',"                \
        " 'listenerMetadata': 'a', 'syscalls': ["                                                  \
        "  {'names': ['open', 'not_a_call'], 'action': 'SCMP_ACT_NOTIFY'},"                        \
        "  {'names': ['socket'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 0, 'args': ["             \
        "   {'index': 0, 'value': 18446744073709551615, 'valueTwo': 9223372036854775808,"          \
        "    'op': 'SCMP_CMP_MASKED_EQ'}, {'index': 5, 'value': 0, 'op': 'SCMP_CMP_EQ'}]}]}"

#define ID_MAPS                                                                                    \
        "'uidMappings': [{'containerID': 0, 'hostID': 100000, 'size': 65536},"                     \
        " {'containerID': 65536, 'hostID': 0, 'size': 1}],"                                        \
        " 'gidMappings': [{'containerID': 4294967295, 'hostID': 7, 'size': 1}]"

/* in the order in which namespaces are printed */
#define MAXIMAL_NAMESPACES                                                                         \
        "[{'type': 'pid'}, {'type': 'network', 'path': '/run/netns/a'}, {'type': 'mount'},"        \
        " {'type': 'ipc'}, {'type': 'uts'}, {'type': 'user'}, {'type': 'cgroup'}, {'type': 'time'}]"

#define MAXIMAL_LINUX                                                                              \
        "{'namespaces': " MAXIMAL_NAMESPACES "," ID_MAPS ","                                       \
        " 'timeOffsets': {'monotonic': {'secs': -5, 'nanosecs': 999999999}, 'boottime': {}},"      \
        " 'devices': [{'path': '/dev/fuse', 'type': 'c', 'major': 10, 'minor': 229,"               \
        "   'fileMode': 0, 'uid': 0, 'gid': 5}, {'path': '/dev/p', 'type': 'p', 'major': 0,"       \
        "   'minor': 0}],"                                                                         \
        " 'cgroupsPath': 'system.slice:tare:a', 'resources': " MAXIMAL_RESOURCES ","               \
        " 'seccomp': " MAXIMAL_SECCOMP ","                                                         \
        " 'sysctl': {'net.ipv4.ip_forward': '1', 'kernel.shmmax': '2', 'kernel/sem': '3',"         \
        "  'fs.mqueue.msg_max': '4', 'net/ipv4/conf/eth0.1/forwarding': '',"                       \
        "  'kernel.domainname': 'x', 'user.max_user_namespaces': '5'},"                            \
        " 'maskedPaths': ['/proc/kcore'], 'readonlyPaths': ['/proc/sys', '/proc/bus'],"            \
        " 'rootfsPropagation': 'shared', 'mountLabel': 'u:r:t:s0:c1,c2',"                          \
        " 'personality': {'domain': 'LINUX32'},"                                                   \
        " 'intelRdt': {'closID': 'guaranteed', 'schemata': ['MB:0=10', 'L3:0=f'],"                 \
        "  'l3CacheSchema': 'L3:0=7', 'memBwSchema': 'MB:0=20', 'enableMonitoring': true},"        \
        " 'netDevices': {'eth1': {'name': 'ctr0'}, 'eth2': {}},"                                   \
        " 'memoryPolicy': {'mode': 'MPOL_BIND', 'nodes': '0-1',"                                   \
        "  'flags': ['MPOL_F_STATIC_NODES']}}"

#define MAXIMAL_SPEC                                                                                                                                    \
        "{'ociVersion': '1.3.0', 'process': " MAXIMAL_PROCESS ","                                                                                       \
        " 'root': {'path': '../rootfs', 'readonly': true}, 'hostname': 'h', 'domainname': 'd',"                                                         \
        " 'mounts': [{'destination': '/proc', 'type': 'proc', 'source': 'proc'},"                                                                       \
        "  {'destination': '/data', 'source': 'data', 'options': ['bind', 'ro', 'x=y,z']," ID_MAPS                                                      \
        "}],"                                                                                                                                           \
        " 'hooks': {" HOOK("prestart") "," HOOK("createRuntime") "," HOOK("createContainer") "," HOOK(                                                  \
                "startContainer") "," HOOK("poststart") "," HOOK("poststop") "},"                                                                       \
                                                                             " 'annotations': {'org.example.a': '1', 'b': ''}, 'linux': " MAXIMAL_LINUX \
                                                                             "}"

#endif
