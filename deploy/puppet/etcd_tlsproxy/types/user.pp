# The name of a user, of a htpasswd file or of a certificate.
type Etcd_tlsproxy::User = Pattern[/\A[^\x00-\x1f\x7f]{1,256}\z/]
