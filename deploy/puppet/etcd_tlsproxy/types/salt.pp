# The salt of an apr1 hash.
type Etcd_tlsproxy::Salt = Pattern[/\A[.\/0-9A-Za-z]{1,8}\z/]
