/* SPDX-License-Identifier: Apache-2.0 */
/* tls-openssl.c - TLS of tare-stream-tls: a server's side, one connection. Files are read at once,
 * before the worker gives up its rights. */
#include "stream/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/str.h"

typedef struct OpensslTls {
        StreamTls base;
        SSL_CTX *context;
        SSL *ssl;
} OpensslTls;

static int set_err(Err *err, const char *what, const char *path)
{
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());

        return err_set(err, ERR_INVALID, "TLS: %s%s%s: %s", what, path ? " " : "", path ? path : "",
                       str_or(reason, "failed"));
}

/* What a call that returned r <= 0 means. */
static ssize_t outcome(const OpensslTls *t, int r, int on_want_read, bool *ret_other)
{
        int errnum = errno;

        switch (SSL_get_error(t->ssl, r)) {
        case SSL_ERROR_WANT_READ:
                *ret_other = on_want_read;
                return -EAGAIN;
        case SSL_ERROR_WANT_WRITE:
                *ret_other = !on_want_read;
                return -EAGAIN;
        case SSL_ERROR_ZERO_RETURN:
                return 0;
        case SSL_ERROR_SYSCALL:
                return errnum ? -errnum : -ECONNRESET;
        default:
                return -EPROTO;
        }
}

static ssize_t tls_read(StreamTls *base, void *p, size_t n, bool *ret_other)
{
        OpensslTls *t = (OpensslTls *)base;

        ERR_clear_error();
        *ret_other = false;
        int r = SSL_read(t->ssl, p, n < INT_MAX ? (int)n : INT_MAX);
        return r > 0 ? r : outcome(t, r, false, ret_other);
}

static ssize_t tls_write(StreamTls *base, const void *p, size_t n, bool *ret_other)
{
        OpensslTls *t = (OpensslTls *)base;

        ERR_clear_error();
        *ret_other = false;
        int r = SSL_write(t->ssl, p, n < INT_MAX ? (int)n : INT_MAX);
        if (r > 0)
                return r;
        ssize_t result = outcome(t, r, true, ret_other);
        return result == 0 ? -EPIPE : result;
}

static bool tls_pending(StreamTls *base)
{
        return SSL_has_pending(((OpensslTls *)base)->ssl);
}

static void tls_end(StreamTls *base)
{
        (void)SSL_shutdown(((OpensslTls *)base)->ssl); /* the client may have gone */
}

static int set_client_ca(SSL_CTX *context, const char *path, Err *err)
{
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);

        if (!names || SSL_CTX_load_verify_file(context, path) != 1) {
                sk_X509_NAME_pop_free(names, X509_NAME_free);
                return set_err(err, "client certificates' authorities", path);
        }
        SSL_CTX_set_client_CA_list(context, names);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        return 0;
}

static int fill_context(SSL_CTX *context, const StreamTlsFiles *files, Err *err)
{
        if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
                return set_err(err, "version 1.2", NULL);
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                             SSL_OP_IGNORE_UNEXPECTED_EOF |
                                             SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                          SSL_MODE_RELEASE_BUFFERS);
        if (SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1)
                return set_err(err, "certificate", files->certificate);
        if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1)
                return set_err(err, "private key", files->key);
        return files->client_ca ? set_client_ca(context, files->client_ca, err) : 0;
}

int stream_tls_new(const StreamTlsFiles *files, int fd, StreamTls **ret, Err *err)
{
        static const StreamTlsOps ops = {
                .read = tls_read, .write = tls_write, .pending = tls_pending, .end = tls_end
        };
        int r = 0;

        if (!files->certificate || !files->key)
                return err_set(err, ERR_INVALID, "TLS: needs --tls-cert and --tls-key");
        OpensslTls *t = xnew(OpensslTls);
        t->base.ops = &ops;
        t->context = SSL_CTX_new(TLS_server_method());
        if (!t->context)
                r = set_err(err, "OpenSSL", NULL);
        if (r == 0)
                r = fill_context(t->context, files, err);
        if (r == 0) {
                t->ssl = SSL_new(t->context);
                if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1)
                        r = set_err(err, "OpenSSL", NULL);
        }
        if (r < 0) {
                stream_tls_free(&t->base);
                return r;
        }
        SSL_set_accept_state(t->ssl);
        *ret = &t->base;
        return 0;
}

void stream_tls_free(StreamTls *base)
{
        OpensslTls *t = (OpensslTls *)base;

        if (!t)
                return;
        SSL_free(t->ssl);
        SSL_CTX_free(t->context);
        free(t);
}
