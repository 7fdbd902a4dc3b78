"""Networks: what they are, how they are trained, stored and applied.

Here stand the records of the networks, their training by Lightning, and bundles. Which networks are compared, and by
which name, is a matter of ``methods``; looks at the data stand in ``physics``. A network of one's own lives in any
package: it registers a record of ``networks.record`` under the entry-point group ``fly64_assets.networks``.
"""
