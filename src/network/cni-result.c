/* SPDX-License-Identifier: Apache-2.0 */
/* cni-result.c - what plugins print: results and errors. All of it is foreign. */
#include <arpa/inet.h>
#include <errno.h>

#include "network/cni-internal.h"

#define EXCERPT_MAX 500 /* bytes of a plugin's words in an error */

/* Nothing but white space; a NULL with length 0 is fine. */
static bool is_blank(const char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (!memchr(" \t\r\n", text[i], 4))
                        return false;
        return true;
}

/* --- results --- */

/* Since 0.3.0 one thing changed between versions that a result can lack: the family of an address.
 */
static int convert_ip(Json *ip, size_t index, const char *version, Err *err)
{
        _cleanup_free_ char *path = xasprintf("ips[%zu]", index), *address = NULL;

        if (!json_object_is_type(ip, json_type_object))
                return err_set(err, ERR_INVALID, "%s: expected an object", path);
        if (cni_version_at_least(version, "1.0.0")) {
                json_object_object_del(ip, "version");
                return 0;
        }
        int r = json_get_str(ip, "address", path, &address, err);
        if (r < 0)
                return r;
        json_add_str(ip, "version", strchr(str_or(address, ""), ':') ? "6" : "4");
        return 0;
}

int cni_result_convert(Json *result, const char *version, Err *err)
{
        _cleanup_free_ char *has = NULL;
        Json *ips = NULL;
        int r = json_get_str(result, "cniVersion", "", &has, err);

        if (r < 0 || str_eq(has, version))
                return r < 0 ? r : 0;
        if (has && !cni_version_find(has))
                return err_set(err, ERR_UNSUPPORTED,
                               "result of version \"%s\", where %s was asked for", has, version);
        r = json_get_array(result, "ips", "", &ips, err);
        for (size_t i = 0; r >= 0 && ips && i < json_object_array_length(ips); i++)
                r = convert_ip(json_object_array_get_idx(ips, i), i, version, err);
        if (r < 0)
                return r;
        json_add_str(result, "cniVersion", version);
        return 0;
}

int cni_result_read(const char *text, size_t len, const char *version, Json **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;

        if (is_blank(text, len))
                return err_set(err, ERR_INVALID, "it printed no result");
        int r = json_parse(text, len, CNI_OUTPUT_MAX, &j, err);
        if (r < 0)
                return err_wrap(err, r, "its result");
        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_INVALID, "its result: expected an object");
        r = cni_result_convert(j, version, err);
        if (r < 0)
                return err_wrap(err, r, "its result");
        *ret = take_ptr(j);
        return 0;
}

/* "10.1.2.3/24" gives "10.1.2.3", as the C library prints it. */
static int parse_address(const char *cidr, const char *path, char **ret, Err *err)
{
        _cleanup_free_ char *address = xstrdup(cidr);
        char *slash = strchr(address, '/');
        char printed[INET6_ADDRSTRLEN];
        unsigned char bits[sizeof(struct in6_addr)];
        int family = strchr(address, ':') ? AF_INET6 : AF_INET;
        uint32_t prefix;

        if (slash)
                *slash = '\0';
        if (!slash || str_to_u32(slash + 1, &prefix) < 0 ||
            prefix > (family == AF_INET6 ? 128 : 32) || inet_pton(family, address, bits) != 1)
                return err_set(err, ERR_INVALID, "%s.address: \"%s\" is not an address with prefix",
                               path, cidr);
        tare_assert(inet_ntop(family, bits, printed, sizeof(printed)));
        *ret = xstrdup(printed);
        return 0;
}

/* Whether the interface is the pod's: of that name, in a namespace. */
static int is_pods(Json *interfaces, size_t index, const char *ifname, Err *err)
{
        _cleanup_free_ char *path = xasprintf("interfaces[%zu]", index);
        _cleanup_free_ char *name = NULL, *sandbox = NULL;
        Json *j = json_object_array_get_idx(interfaces, index);

        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_INVALID, "%s: expected an object", path);
        int r = json_get_str(j, "name", path, &name, err);
        if (r >= 0)
                r = json_get_str(j, "sandbox", path, &sandbox, err);
        if (r < 0)
                return r;
        return str_eq(name, ifname) && !str_empty(sandbox);
}

static int take_ip(Json *ip, size_t index, Json *interfaces, const char *ifname, CniResult *result,
                   Err *err)
{
        _cleanup_free_ char *path = xasprintf("ips[%zu]", index);
        _cleanup_free_ char *cidr = NULL, *address = NULL;
        int64_t at = -1;
        int64_t n = interfaces ? (int64_t)json_object_array_length(interfaces) : 0;

        if (!json_object_is_type(ip, json_type_object))
                return err_set(err, ERR_INVALID, "%s: expected an object", path);
        int r = json_get_str(ip, "address", path, &cidr, err);
        if (r == 0)
                return err_set(err, ERR_INVALID, "%s: no address", path);
        if (r > 0)
                r = parse_address(cidr, path, &address, err);
        if (r >= 0)
                r = json_get_i64(ip, "interface", path, &at, err);
        if (r < 0)
                return r;
        if (r > 0) { /* without one it can only be the pod's */
                if (at < 0 || at >= n)
                        return err_set(err, ERR_INVALID, "%s.interface: there is no interface %lld",
                                       path, (long long)at);
                r = is_pods(interfaces, (size_t)at, ifname, err);
                if (r <= 0)
                        return r;
        }
        strv_push_take(&result->ips, take_ptr(address));
        return 0;
}

static int take_mac(Json *interfaces, const char *ifname, CniResult *result, Err *err)
{
        for (size_t i = 0; interfaces && i < json_object_array_length(interfaces); i++) {
                int r = is_pods(interfaces, i, ifname, err);
                if (r < 0)
                        return r;
                if (r > 0)
                        return json_get_str(json_object_array_get_idx(interfaces, i), "mac",
                                            "interfaces", &result->mac, err);
        }
        return 0;
}

static bool is_address(const char *s)
{
        unsigned char bits[sizeof(struct in6_addr)];

        return inet_pton(strchr(s, ':') ? AF_INET6 : AF_INET, s, bits) == 1;
}

/* One word of resolv.conf. */
static bool is_word(const char *s)
{
        size_t n = strlen(s);

        for (const char *p = s; *p; p++)
                if (*p <= ' ' || *p == 127)
                        return false;
        return n > 0 && n <= CNI_DNS_BYTES && *s != '#' && *s != ';';
}

static int take_words(Json *dns, const char *key, bool (*fits)(const char *s), char ***ret,
                      Err *err)
{
        _cleanup_strv_ char **words = NULL;
        int r = json_get_strv(dns, key, "dns", &words, err);

        for (char **w = words; w && *w && strv_len(*ret) < CNI_DNS_MAX; w++)
                if (fits(*w))
                        strv_push(ret, *w);
        return r;
}

static int take_dns(Json *dns, CniResult *result, Err *err)
{
        _cleanup_free_ char *domain = NULL;
        int r = take_words(dns, "nameservers", is_address, &result->dns_servers, err);

        if (r >= 0)
                r = take_words(dns, "search", is_word, &result->dns_searches, err);
        if (r >= 0)
                r = take_words(dns, "options", is_word, &result->dns_options, err);
        if (r >= 0)
                r = json_get_str(dns, "domain", "dns", &domain, err);
        if (r > 0 && !result->dns_searches && is_word(domain))
                strv_push(&result->dns_searches, domain);
        return r;
}

static int take_result(Json *j, const char *ifname, CniResult *result, Err *err)
{
        Json *interfaces = NULL, *ips = NULL, *dns = NULL;
        int r = json_get_array(j, "interfaces", "", &interfaces, err);

        if (r >= 0)
                r = json_get_array(j, "ips", "", &ips, err);
        if (r >= 0)
                r = json_get_obj(j, "dns", "", &dns, err);
        if (r >= 0 && dns)
                r = take_dns(dns, result, err);
        if (r >= 0)
                r = take_mac(interfaces, ifname, result, err);
        if (r < 0)
                return r;
        size_t n = ips ? json_object_array_length(ips) : 0;
        if (n > CNI_IPS_MAX)
                return err_set(err, ERR_TOO_LARGE, "%zu addresses, %d at most", n, CNI_IPS_MAX);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = take_ip(json_object_array_get_idx(ips, i), i, interfaces, ifname, result, err);
        return r < 0 ? r : 0;
}

int cni_result_parse(Json *j, const char *ifname, CniResult *ret, Err *err)
{
        CniResult result = {};

        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_INVALID, "network result: expected an object");
        int r = take_result(j, ifname, &result, err);
        if (r < 0) {
                cni_result_done(&result);
                return err_wrap(err, r, "network result");
        }
        result.json = json_object_get(j);
        *ret = result;
        return 0;
}

void cni_result_done(CniResult *r)
{
        strv_free(r->ips);
        free(r->mac);
        strv_free(r->dns_servers);
        strv_free(r->dns_searches);
        strv_free(r->dns_options);
        json_object_put(r->json);
        *r = (CniResult){};
}

/* --- errors --- */

/* At most EXCERPT_MAX bytes of s on one line: lines are joined by "; ". */
static char *one_line(const char *s, size_t len)
{
        bool cut = len > EXCERPT_MAX, ended = false;
        _cleanup_free_ char *text = str_make_utf8(s, cut ? EXCERPT_MAX : len);
        _cleanup_strbuf_ StrBuf b = {};

        for (const char *p = text; *p; p++) {
                if (*p == '\n' || *p == '\r') {
                        ended = true;
                        continue;
                }
                if (ended && b.len > 0)
                        strbuf_adds(&b, "; ");
                ended = false;
                strbuf_addc(&b, (unsigned char)*p < ' ' ? ' ' : *p);
        }
        if (cut)
                strbuf_adds(&b, "...");
        return strbuf_take(&b);
}

static ErrKind kind_of_code(uint64_t code)
{
        switch (code) {
        case 1: /* version */
        case 2: /* a field of the configuration */
                return ERR_UNSUPPORTED;
        case 4: /* environment */
        case 6: /* decoding */
        case 7: /* configuration */
                return ERR_INVALID;
        case 11: /* try again later */
        case 50: /* STATUS: no ADD at present */
        case 51: /* STATUS: the same, and what there is may suffer */
                return ERR_UNAVAILABLE;
        default:
                return ERR_INTERNAL;
        }
}

/* An error document: its words and code. False when it is none. */
static bool read_error(const char *out, size_t out_len, char **ret_words, uint64_t *ret_code)
{
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *msg = NULL, *details = NULL;

        if (json_parse(out, out_len, CNI_OUTPUT_MAX, &j, NULL) < 0 ||
            !json_object_is_type(j, json_type_object))
                return false;
        /* a part of the wrong type is as good as a missing one: the other parts still help */
        (void)json_get_u64(j, "code", "", ret_code, NULL);
        (void)json_get_str(j, "msg", "", &msg, NULL);
        (void)json_get_str(j, "details", "", &details, NULL);
        if (str_empty(msg) && str_empty(details))
                return false;
        *ret_words =
                xasprintf("%s%s%s", str_or(msg, ""),
                          str_empty(msg) || str_empty(details) ? "" : "; ", str_or(details, ""));
        return true;
}

int cni_result_failure(int exit_code, const char *out, size_t out_len, const char *errout,
                       CniVerb verb, Err *err)
{
        _cleanup_free_ char *words = NULL, *line = NULL;
        uint64_t code = 0;

        if (exit_code == -ETIMEDOUT)
                return err_set(err, ERR_TIMEOUT, "it did not end in time and was killed");
        if (exit_code == -E2BIG)
                return err_set(err, ERR_TOO_LARGE, "it printed more than %zu bytes",
                               CNI_OUTPUT_MAX);
        if (exit_code < 0)
                return err_sys(err, -exit_code, "start it");
        if (is_blank(out, out_len))
                line = one_line(str_or(errout, ""), strlen(str_or(errout, "")));
        else if (read_error(out, out_len, &words, &code))
                line = one_line(words, strlen(words));
        else
                line = one_line(out, out_len);
        if (code == 3 && verb == CNI_DEL)
                return 0;
        if (!str_empty(line))
                return err_set(err, kind_of_code(code), "%s", line);
        if (exit_code > 128)
                return err_set(err, ERR_INTERNAL, "killed by signal %d", exit_code - 128);
        return err_set(err, ERR_INTERNAL, "exit status %d, without a word", exit_code);
}
