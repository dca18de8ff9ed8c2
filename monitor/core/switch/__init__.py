"""Which carrier to use on a lane: what its carriers cost a parcel, how sure that is, and what may not be used."""
