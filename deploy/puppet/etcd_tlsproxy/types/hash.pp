# A password hash in a form that the proxy reads: bcrypt, apr1, sha256-crypt, sha512-crypt,
# SHA or SSHA.
type Etcd_tlsproxy::Hash = Pattern[/\A(\$(2[aby]|apr1|5|6)\$|\{S?SHA\})[^:\s]+\z/]
