# A rule: who may write, everyone if the list is empty; the long form says who may
# read as well.
type Etcd_tlsproxy::Acl = Variant[
  Array[Etcd_tlsproxy::User],
  Struct[{ write => Array[Etcd_tlsproxy::User], Optional[read] => Array[Etcd_tlsproxy::User] }]
]
