# The name of a user from a htpasswd file or a certificate.
type Etcd_tlsproxy::User = Pattern[/\A[^\x00-\x1f\x7f]{1,256}\z/]
