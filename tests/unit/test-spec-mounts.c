/* SPDX-License-Identifier: Apache-2.0 */
/* test-spec-mounts.c - mounts, image volumes and devices of a generated spec. */
/* links: base oci proto_cri spec */
#include "unit/spec-test.h"

#define USERS(size)                                                                                \
        "'userns_options': {'mode': 'POD', 'uids': [{'host_id': 9, 'length': " size                \
        "}], 'gids': [{'host_id': 9, 'length': " size "}]}"
#define POD_USERS(size) "{'linux': {'security_context': {'namespace_options': {" USERS(size) "}}}}"
#define PRIVILEGED      "{'linux': {'security_context': {'privileged': true}}}"
#define MOUNT(text)     "{'mounts': [{" text "}]}"
#define BIND(to)        "'container_path': '" to "', 'host_path': '/host/x'"

/* "destination destination ..." of all mounts */
static char *destinations(const SpecRun *run)
{
        _cleanup_strv_ char **v = NULL;
        for (size_t i = 0; i < run->spec->n_mounts; i++)
                strv_push(&v, run->spec->mounts[i].destination);
        return strv_join(v, " ");
}

static void check_order(const char *container, const char *image, const char *want)
{
        SpecRun run;
        run_parse(&run, NULL, container, image, 0);
        run_generate(&run, 0, NULL);
        ASSERT_OK_ERR(run.r, run.err);
        _cleanup_free_ char *got = destinations(&run);
        ASSERT_STREQ(got, want);
        run_done(&run);
}

TEST(spec_mounts, order)
{
        check_order(NULL, NULL,
                    "/proc /dev /dev/pts /dev/mqueue /sys /sys/fs/cgroup /etc/hostname /etc/hosts "
                    "/etc/resolv.conf /dev/shm");
        /* by depth, equal ones as they came; what the request mounts replaces ours */
        check_order("{'mounts': [{" BIND("/a/b/c") "}, {" BIND("/etc/hosts/") "}, {" BIND(
                            "/b") "},"
                                  " {" BIND("/dev/shm") "}, {" BIND("/a") "}]}",
                    NULL,
                    "/proc /dev /dev/pts /dev/mqueue /sys /sys/fs/cgroup /b /a /etc/hosts /dev/shm "
                    "/etc/hostname /etc/resolv.conf /a/b/c");
        /* a /dev of the request takes the defaults below it away, not the pod's shm */
        check_order(
                MOUNT(BIND("/dev")), NULL,
                "/proc /sys /sys/fs/cgroup /dev /etc/hostname /etc/hosts /etc/resolv.conf /dev/shm");
        check_order(
                MOUNT(BIND("/sys/fs//cgroup/")), NULL,
                "/proc /dev /dev/pts /dev/mqueue /sys /etc/hostname /etc/hosts /etc/resolv.conf "
                "/dev/shm /sys/fs/cgroup");
}

TEST(spec_mounts, options)
{
        static const char *const host_ipc =
                "{'linux': {'security_context': {'namespace_options': {'ipc': 'NODE'}}}}";
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, "mounts|/proc",
                  "{'destination':'/proc','type':'proc','source':'proc','options':['nosuid','noexec',"
                  "'nodev']}" },
                { NULL, NULL, NULL, 0, "mounts|/sys|options", "['nosuid','noexec','nodev','ro']" },
                { PRIVILEGED, PRIVILEGED, NULL, 0, "mounts|/sys|options",
                  "['nosuid','noexec','nodev','rw']" },
                { NULL, NULL, NULL, 0, "mounts|/sys/fs/cgroup|options",
                  "['nosuid','noexec','nodev','relatime','ro']" },
                { PRIVILEGED, PRIVILEGED, NULL, 0, "mounts|/sys/fs/cgroup|options|rw", "'rw'" },
                { NULL, NULL, NULL, 0, "mounts|/etc/hosts",
                  "{'destination':'/etc/hosts','type':'bind','source':'/run/tare/pods/pod1/hosts',"
                  "'options':['rbind','rprivate','rw']}" },
                { NULL, "{'linux': {'security_context': {'readonly_rootfs': true}}}", NULL, 0,
                  "mounts|/etc/resolv.conf|options", "['rbind','rprivate','ro']" },
                { NULL, "{'linux': {'security_context': {'readonly_rootfs': true}}}", NULL, 0,
                  "mounts|/dev/shm|options", "['rbind','rprivate','rw']" },
                { NULL, NULL, NULL, 0, "mounts|/dev/shm|source", "'/run/tare/pods/pod1/shm'" },
                { host_ipc, NULL, NULL, 0, "mounts|/dev/shm|source", "'/dev/shm'" },
                /* of the request */
                { NULL, MOUNT(BIND("/m")), NULL, 0, "mounts|/m",
                  "{'destination':'/m','type':'bind','source':'/host/x','options':['rbind','rprivate',"
                  "'rw']}" },
                { NULL, MOUNT(BIND("/m/../n/")), NULL, 0, "mounts|/n|source", "'/host/x'" },
                { NULL, MOUNT(BIND("/m") ", 'readonly': true"), NULL, 0, "mounts|/m|options",
                  "['rbind','rprivate','ro']" },
                { NULL, MOUNT(BIND("/m") ", 'readonly': true, 'recursive_read_only': true"), NULL,
                  0, "mounts|/m|options", "['rbind','rprivate','rro']" },
                { NULL, MOUNT(BIND("/m") ", 'propagation': 'PROPAGATION_HOST_TO_CONTAINER'"), NULL,
                  0, "mounts|/m|options", "['rbind','rslave','rw']" },
                { NULL, MOUNT(BIND("/m") ", 'propagation': 'PROPAGATION_BIDIRECTIONAL'"), NULL, 0,
                  "mounts|/m|options", "['rbind','rshared','rw']" },
                { NULL, MOUNT("'container_path': '/m', 'readonly': true, 'image': {'image': 'i'}"),
                  NULL, 0, "mounts|/m",
                  "{'destination':'/m','type':'bind','source':'/run/tare/image-mount','options':['rbind',"
                  "'rprivate','ro']}" },
                { NULL,
                  MOUNT(BIND("/m") ", 'uidMappings': [{'host_id': 9, 'length': 5}], 'gidMappings': "
                                   "[{'host_id': 8, 'container_id': 1, 'length': 4}]"),
                  NULL, 0, "mounts|/m",
                  "{'destination':'/m','type':'bind','source':'/host/x','options':['rbind','rprivate',"
                  "'rw'],'uidMappings':[{'containerID':0,'hostID':9,'size':5}],"
                  "'gidMappings':[{'containerID':1,'hostID':8,'size':4}]}" },
                { POD_USERS("2000"), NULL, NULL, 0, "mounts|/dev/pts|options|gid=5", "'gid=5'" },
                /* the root lets through what a mount needs */
                { NULL, MOUNT(BIND("/m")), NULL, 0, "linux|rootfsPropagation", "absent" },
                { NULL, MOUNT(BIND("/m") ", 'propagation': 'PROPAGATION_HOST_TO_CONTAINER'"), NULL,
                  0, "linux|rootfsPropagation", "'rslave'" },
                { NULL,
                  "{'mounts': [{" BIND("/a") ", 'propagation': 'PROPAGATION_BIDIRECTIONAL'}, {" BIND(
                          "/b") ", 'propagation': 'PROPAGATION_HOST_TO_CONTAINER'}]}",
                  NULL, 0, "linux|rootfsPropagation", "'rshared'" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_mounts, refused)
{
        static const RefusedRow rows[] = {
                { NULL, MOUNT("'host_path': '/x'"), 0, ERR_INVALID,
                  "mounts[0].container_path is empty" },
                { NULL, MOUNT("'container_path': '/x'"), 0, ERR_INVALID,
                  "mounts[0].host_path is empty" },
                { NULL, MOUNT(BIND("x")), 0, ERR_INVALID, "container_path: \"x\" is not absolute" },
                { NULL, MOUNT("'container_path': '/x', 'host_path': 'y'"), 0, ERR_INVALID,
                  "host_path: \"y\" is not absolute" },
                { NULL, MOUNT(BIND("/x/..")), 0, ERR_INVALID, "over the root" },
                { NULL, MOUNT(BIND("/x") ", 'propagation': 7"), 0, ERR_INVALID, "propagation: 7" },
                { NULL,
                  MOUNT("'container_path': '/x', 'host_path': '/private', "
                        "'propagation': 'PROPAGATION_BIDIRECTIONAL'"),
                  0, ERR_INVALID, "not in a shared mount" },
                { NULL, MOUNT(BIND("/x") ", 'recursive_read_only': true"), 0, ERR_INVALID,
                  "needs readonly" },
                { NULL,
                  MOUNT(BIND(
                          "/x") ", 'readonly': true, 'recursive_read_only': true, 'propagation': "
                                "'PROPAGATION_BIDIRECTIONAL'"),
                  0, ERR_INVALID, "needs propagation PRIVATE" },
                { NULL, MOUNT(BIND("/x") ", 'readonly': true, 'recursive_read_only': true"),
                  NODE_NO_RRO, ERR_UNSUPPORTED, "the pod's runtime handler" },
                { NULL, MOUNT(BIND("/x") ", 'readonly': true, 'image': {'image': 'i'}"), 0,
                  ERR_INVALID, "are both set" },
                { NULL, MOUNT("'container_path': '/x', 'image': {'image': 'i'}"), 0, ERR_INVALID,
                  "only be mounted read-only" },
                { NULL,
                  MOUNT("'container_path': '/x', 'readonly': true, 'image': {'image': 'i'}, "
                        "'image_sub_path': 'a/../../b'"),
                  0, ERR_INVALID, "leaves the image" },
                { NULL,
                  MOUNT("'container_path': '/x', 'readonly': true, 'image': {'image': 'i'}, "
                        "'image_sub_path': '/b'"),
                  0, ERR_INVALID, "leaves the image" },
                { NULL, MOUNT(BIND("/x") ", 'image_sub_path': 'a'"), 0, ERR_INVALID,
                  "without an image" },
                { NULL, MOUNT(BIND("/x") ", 'uidMappings': [{'length': 1}]"), 0, ERR_INVALID,
                  "both or none" },
                { NULL, MOUNT(BIND("/x") ", 'uidMappings': [{}], 'gidMappings': [{'length': 1}]"),
                  0, ERR_INVALID, "mounts[0].uidMappings[0]: 0 ids" },
        };
        check_refused(rows, array_len(rows));
}

TEST(spec_mounts, too_many_are_refused)
{
        SpecRun run;
        run_parse(&run, NULL, NULL, NULL, 0);
        run.container->n_mounts = SPEC_MOUNTS_MAX + 1; /* looked at by number only */
        ASSERT_ERR(spec_check_container(&run.node, run.pod, run.container, &run.err), E2BIG);
        ASSERT_CONTAINS(run.err.msg, "mounts: 4097");
        run.container->n_mounts = 0;
        run_done(&run);
}

TEST(spec_mounts, image_volumes)
{
        check_order(
                MOUNT(BIND("/taken")),
                "{'Cmd': ['sh'], 'Volumes': ['/data/', 'rel', '/taken', '/', '/proc/x', '/sys', '/dev', "
                "'/data', '/etc/hosts', '/a/../..']}",
                "/proc /dev /dev/pts /dev/mqueue /sys /sys/fs/cgroup /taken /data /rel "
                "/etc/hostname /etc/hosts /etc/resolv.conf /dev/shm");
        static const SpecRow rows[] = {
                { NULL, NULL, "{'Cmd': ['sh'], 'Volumes': ['/v2', '/v1']}", 0, "mounts|/v2",
                  "{'destination':'/v2','type':'bind','source':'/var/lib/tare/v/1','options':['rbind',"
                  "'rprivate','rw']}" },
                /* the pod's file wins */
                { NULL, NULL, "{'Cmd': ['sh'], 'Volumes': ['/etc/hosts']}", 0,
                  "mounts|/etc/hosts|source", "'/run/tare/pods/pod1/hosts'" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_mounts, too_many_image_volumes_are_refused)
{
        SpecRun run;
        run_parse(&run, NULL, NULL, NULL, 0);
        run.image->volumes = xnew_array(char *, SPEC_IMAGE_VOLUMES_MAX + 2);
        for (size_t i = 0; i <= SPEC_IMAGE_VOLUMES_MAX; i++)
                run.image->volumes[i] = xasprintf("/v%zu", i);
        run_generate(&run, 0, NULL);
        ASSERT_ERR(run.r, E2BIG);
        ASSERT_CONTAINS(run.err.msg, "declares 257 volumes");
        run_done(&run);
}

#define DEVICE(text) "{'devices': [{" text "}]}"
#define PRIVILEGED_DEVICE(text)                                                                    \
        "{'devices': [{" text "}], 'linux': {'security_context': {'privileged': true}}}"

TEST(spec_devices, of_the_request)
{
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, "linux|devices", "absent" },
                { NULL, NULL, NULL, 0, "linux|resources|devices",
                  "[{'allow':false,'type':'a','access':'rwm'}]" },
                { NULL,
                  DEVICE("'host_path': '/dev/x', 'container_path': '/dev/y', 'permissions': 'mrw'"),
                  NULL, 0, "linux|devices",
                  "[{'path':'/dev/y','type':'c','major':10,'minor':200,'fileMode':432,'uid':0,'gid':5}]" },
                { NULL,
                  DEVICE("'host_path': '/dev/x', 'container_path': '/dev/y', 'permissions': 'r'"),
                  NULL, 0, "linux|resources|devices",
                  "[{'allow':false,'type':'a','access':'rwm'},{'allow':true,'type':'c','major':10,'minor':200,"
                  "'access':'r'}]" },
                { NULL, DEVICE("'host_path': '/dev/x'"), NULL, 0, "linux|devices|0|path",
                  "'/dev/x'" },
                { NULL, DEVICE("'host_path': '/dev/x'"), NULL, 0,
                  "linux|resources|devices|1|access", "'rwm'" },
                /* a folder */
                { NULL, DEVICE("'host_path': '/dev/d/', 'container_path': '/dev/e'"), NULL, 0,
                  "linux|devices|/dev/e/sub/two|type", "'b'" },
                { NULL, DEVICE("'host_path': '/dev/d/', 'container_path': '/dev/e'"), NULL, 0,
                  "linux|resources|devices|2|minor", "201" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_devices, privileged_has_all)
{
        static const SpecRow rows[] = {
                { PRIVILEGED, PRIVILEGED, NULL, 0, "linux|resources|devices",
                  "[{'allow':true,'type':'a','access':'rwm'}]" },
                { PRIVILEGED, PRIVILEGED, NULL, 0, "linux|devices|/dev/sda",
                  "{'path':'/dev/sda','type':'b','major':8,'minor':0,'fileMode':432,'gid':6}" },
                { PRIVILEGED, PRIVILEGED, NULL, 0, "linux|devices|/dev/pts/0", "absent" },
                { PRIVILEGED, PRIVILEGED, NULL, 0, "linux|devices|/dev/console", "absent" },
                { PRIVILEGED, PRIVILEGED, NULL, 0, "linux|devices|/dev/ptmx", "absent" },
                /* the request's own entry wins over the host's */
                { PRIVILEGED,
                  PRIVILEGED_DEVICE("'host_path': '/dev/x', 'container_path': '/dev/sda'"), NULL, 0,
                  "linux|devices|/dev/sda|major", "10" },
                { PRIVILEGED,
                  PRIVILEGED_DEVICE("'host_path': '/dev/x', 'container_path': '/dev/sda'"), NULL, 0,
                  "linux|resources|devices", "[{'allow':true,'type':'a','access':'rwm'}]" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_devices, refused)
{
        static const RefusedRow rows[] = {
                { NULL, DEVICE("'host_path': 'x'"), 0, ERR_INVALID, "devices[0].host_path" },
                { NULL, DEVICE("'host_path': '/x', 'container_path': 'y'"), 0, ERR_INVALID,
                  "devices[0].container_path" },
                { NULL, DEVICE("'host_path': '/x', 'permissions': 'rx'"), 0, ERR_INVALID,
                  "devices[0].permissions: \"rx\"" },
                { NULL, "{'devices': [{'host_path': '/dev/x'}, {'host_path': '/missing/y'}]}", 0,
                  ERR_INVALID, "devices[1].host_path: \"/missing/y\" is neither" },
                { NULL, "{'CDI_devices': [{'name': 'vendor.com/gpu'}]}", 0, ERR_INVALID,
                  "CDI_devices: \"vendor.com/gpu\" is not the name" },
        };
        check_refused(rows, array_len(rows));
}

TEST_MAIN
